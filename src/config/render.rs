//! What people read about the configuration, from the table of keys: the sample file and the reference.

use super::keys::{Fallback, KEYS, Key, Kind};

/// Width of the sample's comments.
const WIDTH: usize = 100;

/// The sample configuration file: every key with its default, commented out.
pub(crate) fn render_sample() -> String {
    let mut text = String::from(
        "# Configuration of hearth. Every key is optional and shown with its default, or with an example\n\
         # where it has none.\n\
         # A variable HEARTH_<KEY> overrides it, with __ for the dot of a table (HEARTH_LOG__LEVEL=debug);\n\
         # flags of `hearth serve` override both. `hearth config print --origins` shows what is in force and why.\n",
    );
    let mut open = "";
    for key in &KEYS {
        let (table, name) = key.name.rsplit_once('.').unwrap_or(("", key.name));
        if table.contains('*') {
            text.push('\n');
            comment(&mut text, key.doc);
            text.push_str(match key.name {
                "functions.*.network" => "#[functions.\"resize\"]\n#network = \"none\"\n",
                // Of the same table: two headings would be one too many.
                "functions.*.idle_timeout_s" => "#idle_timeout_s = 60\n",
                _ => "#[runtimes.\"python3.12\"]\n#interpreter = \"/opt/python/bin/python3.12\"\n",
            });
            continue;
        }
        if table != open {
            text.push_str(&format!("\n[{table}]\n"));
            open = table;
        } else {
            text.push('\n');
        }
        comment(&mut text, &described(key));
        text.push_str(&format!("#{name} = {}\n", shown(key)));
    }
    text
}

/// The reference of keys, a Markdown table.
pub(crate) fn render_reference() -> String {
    let mut text = String::from("| Key | Default | Variable | Meaning |\n|---|---|---|---|\n");
    for key in &KEYS {
        let default = match key.fallback {
            Fallback::Unset(meaning) => meaning.to_owned(),
            Fallback::Text(_) | Fallback::Integer(_) | Fallback::Empty => format!("`{}`", shown(key)),
        };
        let any = if key.name.starts_with("runtimes.") { "\"<runtime>\"" } else { "\"<name>\"" };
        let name = key.name.replace('*', any);
        let meaning = described(key).replace('|', "\\|");
        text.push_str(&format!("| `{name}` | {default} | `{}` | {meaning} |\n", key.variable()));
    }
    text
}

fn described(key: &Key) -> String {
    let unit = match (key.kind, key.unit) {
        (Kind::Integer(min, max), unit) if !unit.is_empty() => format!(" ({unit}; {min} to {max})"),
        _ => String::new(),
    };
    let unset = match key.fallback {
        Fallback::Unset(meaning) => format!(" Not set: {meaning}."),
        Fallback::Text(_) | Fallback::Integer(_) | Fallback::Empty => String::new(),
    };
    format!("{}{unit}{unset}", key.doc)
}

/// The default as TOML; an example where there is none.
fn shown(key: &Key) -> String {
    match (key.fallback, key.kind) {
        (Fallback::Text(text), _) => format!("{text:?}"),
        (Fallback::Integer(number), _) => number.to_string(),
        (Fallback::Empty, _) => "[]".into(),
        (Fallback::Unset(_), Kind::Integer(..)) if key.unit == "MiB" => "8192".into(),
        (Fallback::Unset(_), Kind::Integer(..)) => "100".into(),
        (Fallback::Unset(_), Kind::Choice([_, word, ..])) => format!("{word:?}"),
        (Fallback::Unset(_), Kind::Endpoint) => "\"http://127.0.0.1:9000\"".into(),
        (Fallback::Unset(_), Kind::Path) => {
            let name = key.name.replace("tls.", "tls/");
            format!("\"/etc/hearth/{}\"", name.trim_end_matches("_file"))
        }
        (Fallback::Unset(_), _) => "\"hearth\"".into(),
    }
}

fn comment(text: &mut String, sentence: &str) {
    let mut line = String::from("#");
    for word in sentence.split(' ') {
        if line.len() + 1 + word.len() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}
