//! The text of one element of a small XML answer.
//!
//! Errors of S3 and answers of STS are flat: a few elements with unique names, no mixed content. A parser for all of
//! XML would cost more than it says. Unclosed elements, markup inside and unknown entities are answered with nothing.

/// The text of the first element of this name, entities resolved.
pub(super) fn text(document: &str, name: &str) -> Option<String> {
    let mut rest = document;
    loop {
        let (_, after) = rest.split_once('<')?;
        rest = after;
        let Some(tail) = after.strip_prefix(name) else { continue };
        let (attributes, inside) = tail.split_once('>')?;
        if attributes.ends_with('/') {
            return Some(String::new());
        }
        if !attributes.is_empty() && !attributes.starts_with([' ', '\t', '\r', '\n']) {
            continue; // a longer name
        }
        let (found, closing) = inside.split_once('<')?;
        let closed = closing.strip_prefix('/')?.strip_prefix(name)?.trim_start().starts_with('>');
        return if closed { resolve(found.trim()) } else { None };
    }
}

fn resolve(text: &str) -> Option<String> {
    let mut resolved = String::with_capacity(text.len());
    let mut parts = text.split('&');
    resolved.push_str(parts.next()?);
    for part in parts {
        let (entity, rest) = part.split_once(';')?;
        resolved.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let number = entity.strip_prefix('#')?;
                let code = match number.strip_prefix(['x', 'X']) {
                    Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                    None => number.parse().ok()?,
                };
                char::from_u32(code)?
            }
        });
        resolved.push_str(rest);
    }
    Some(resolved)
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn the_elements_of_an_error_are_found() {
        let document = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error xmlns=\"x\"><CodeX>no</CodeX><Code>NoSuchKey</Code>\
                        <Message lang=\"en\">\n The &quot;key&quot; &#60;&#x3e; &amp;lt;\n</Message ><Empty/><None></None></Error>";
        assert_eq!(text(document, "Code").as_deref(), Some("NoSuchKey"));
        assert_eq!(text(document, "Message").as_deref(), Some("The \"key\" <> &lt;"));
        assert_eq!(text(document, "Empty").as_deref(), Some(""));
        assert_eq!(text(document, "None").as_deref(), Some(""));
        assert_eq!(text(document, "Absent"), None);
    }

    #[test]
    fn what_is_not_well_formed_is_not_there() {
        for document in [
            "",
            "<Code",
            "<Code>x",
            "<Code>x<",
            "<Code>x</Cod>",
            "<Code>a<b/></Code>",
            "<Code>&x;</Code>",
            "<Code>&amp</Code>",
            "<Code>&#xD800;</Code>",
        ] {
            assert_eq!(text(document, "Code"), None, "{document}");
        }
    }
}
