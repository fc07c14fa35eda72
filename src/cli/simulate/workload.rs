//! Workload files: TOML with functions, a trace, a made-up population, and limits.
//!
//! Whatever is wrong is said with the file's name and the line. What settings mean is `settings`' business.

use super::super::duration::Length;
use super::super::failure::Failure;
use super::settings::Settings;
use super::trace::Trace;
use super::{LENGTH, Plan, beside, place, spreads};
use hearth_logic::scheduler::Source;
use hearth_logic::simulate::arrivals::{Pattern, RATE_MAX, STEPS_MAX, Spacing, Step};
use hearth_logic::simulate::spread::Spread;
use hearth_logic::simulate::synthetic::Population;
use hearth_logic::simulate::workload::{FUNCTIONS_MAX, Function, Workload};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::{Spanned, Table, Value};

/// Bytes of a workload file.
const FILE_MAX: u64 = 16 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    seed: Option<u64>,
    #[serde(rename = "for")]
    length: Option<Spanned<String>>,
    #[serde(default)]
    limits: BTreeMap<Spanned<String>, Spanned<Value>>,
    defaults: Option<Spanned<Settled>>,
    #[serde(default)]
    function: Vec<Spanned<Settled>>,
    trace: Option<Spanned<PathBuf>>,
    synthetic: Option<Spanned<Synthetic>>,
}

/// A function as it is written.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settled {
    name: Option<Spanned<String>>,
    memory_mb: Option<u32>,
    reserved: Option<u32>,
    provisioned: Option<u32>,
    idle_timeout_s: Option<u32>,
    timeout_s: Option<u32>,
    source: Option<Spanned<String>>,
    arrivals: Option<Spanned<Value>>,
    duration_ms: Option<Spanned<Value>>,
    init_ms: Option<Spanned<Value>>,
    launch_ms: Option<Spanned<Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Synthetic {
    functions: usize,
    rate: Option<f64>,
    #[serde(default)]
    api_like: bool,
    init_ms: Option<Spanned<Value>>,
}

/// A place in the text and what is wrong there.
type Wrong = (Range<usize>, String);

/// Reads a file.
pub(super) fn read(file: &Path) -> Result<Plan, Failure> {
    let shown = file.display();
    let size = std::fs::metadata(file).map(|metadata| metadata.len());
    if size.is_ok_and(|size| size > FILE_MAX) {
        return Err(Failure::because(format!("{shown}: longer than {FILE_MAX} bytes; is it a trace?")));
    }
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::because(format!("cannot read {shown}: {error}")))?;
    let (mut plan, trace, unknown) =
        parse(&text).map_err(|(line, why)| Failure::because(format!("{}: {why}", place(file, line))))?;
    if let Some((name, at)) = trace {
        let path = beside(file, &name);
        let trace = Trace::open(&path, &mut plan.workload.functions, &unknown);
        let trace = trace.map_err(|failure| {
            let why = failure.sentence().unwrap_or_default();
            Failure::because(format!("{}: trace: {why}", place(file, at)))
        })?;
        if plan.workload.length.is_zero() {
            plan.workload.length = trace.length();
        }
        plan.trace = Some(trace);
    }
    if plan.workload.functions.is_empty() {
        return Err(Failure::because(format!(
            "{shown}: there is no [[function]], no [synthetic] and no trace"
        )));
    }
    if plan.workload.length.is_zero() {
        plan.workload.length = LENGTH;
    }
    Ok(plan)
}

/// A workload, the trace that it names with its line, and what functions are like that the trace alone names.
type Parsed = (Plan, Option<(PathBuf, usize)>, Function);

fn parse(text: &str) -> Result<Parsed, (usize, String)> {
    let line = |span: Range<usize>| 1 + text.bytes().take(span.start).filter(|byte| *byte == b'\n').count();
    let file: File = toml::from_str(text)
        .map_err(|error| (line(error.span().unwrap_or_default()), error.message().to_owned()))?;
    let trace = file.trace.as_ref().map(|trace| (trace.get_ref().clone(), line(trace.span())));
    let (workload, settings, unknown) = build(file).map_err(|(span, why)| (line(span), why))?;
    Ok((Plan { workload, trace: None, settings }, trace, unknown))
}

fn build(file: File) -> Result<(Workload, Settings, Function), Wrong> {
    let mut settings = Settings::default();
    for (name, value) in &file.limits {
        let text = match value.get_ref() {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let wrong = |why: String| (name.span(), format!("limits.{}: {why}", name.get_ref()));
        settings.set(name.get_ref(), &text).map_err(wrong)?;
    }
    let is_traced = file.trace.is_some();
    let length = match &file.length {
        Some(text) => text.get_ref().parse::<Length>().map_err(|error| (text.span(), error.to_string()))?.0,
        // Known when the trace has been read, if there is one.
        None => Duration::ZERO,
    };
    let unknown = match &file.defaults {
        Some(defaults) if defaults.get_ref().name.is_some() => {
            return Err((defaults.span(), "[defaults] has no name: it is about all functions".to_owned()));
        }
        Some(defaults) => function(defaults, &Function::default())?,
        None => Function::default(),
    };
    let mut functions = Vec::new();
    let mut names = BTreeMap::new();
    for settled in &file.function {
        let function = function(settled, &unknown)?;
        if names.insert(function.name.clone(), ()).is_some() {
            return Err((settled.span(), format!("there are two functions {:?}", function.name)));
        }
        functions.push(function);
    }
    let seed = file.seed.unwrap_or(1);
    if let Some(synthetic) = &file.synthetic {
        functions.extend(population(synthetic)?.functions(seed));
    }
    let is_called = functions.iter().any(|function| function.arrivals.is_some());
    if let Some(first) = file.function.first().filter(|_| !is_called && !is_traced) {
        return Err((
            first.span(),
            "nobody calls: no function has arrivals, and there is no trace".to_owned(),
        ));
    }
    if is_called && is_traced && length.is_zero() {
        let at = file.trace.as_ref().map(Spanned::span).unwrap_or_default();
        return Err((at, "beside a trace there are arrivals: say for how long with `for`".to_owned()));
    }
    // What only a trace names is called by nothing else.
    let unknown = Function { arrivals: None, ..unknown };
    Ok((Workload { seed, length, functions }, settings, unknown))
}

fn population(synthetic: &Spanned<Synthetic>) -> Result<Population, Wrong> {
    let Synthetic { functions, rate, api_like, init_ms } = synthetic.get_ref();
    let wrong = |why: &str| (synthetic.span(), format!("[synthetic] {why}"));
    if !(1..=FUNCTIONS_MAX).contains(functions) {
        return Err(wrong("functions: from 1 to 1,000,000"));
    }
    if rate.is_some_and(|rate| !(0.0..=RATE_MAX).contains(&rate)) {
        return Err(wrong("rate: from 0 to 1,000,000 requests per second"));
    }
    let init = Spread::Constant(Duration::from_millis(200));
    let init = init_ms.as_ref().map_or(Ok(init), spread)?;
    Ok(Population { functions: *functions, rate: *rate, api_like: *api_like, init })
}

/// A function, laid over what all have.
fn function(settled: &Spanned<Settled>, base: &Function) -> Result<Function, Wrong> {
    let span = settled.span();
    let settled = settled.get_ref();
    let bounded = |value: Option<u32>, name: &str, min: u32, max: u32| match value {
        Some(value) if !(min..=max).contains(&value) => {
            Err((span.clone(), format!("{name} = {value}: from {min} to {max}")))
        }
        value => Ok(value),
    };
    let mut function = base.clone();
    if let Some(name) = &settled.name {
        function.name = name.get_ref().clone();
    }
    function.memory_mb = bounded(settled.memory_mb, "memory_mb", 1, 1 << 20)?.unwrap_or(base.memory_mb);
    function.reserved = settled.reserved.or(base.reserved);
    function.provisioned =
        bounded(settled.provisioned, "provisioned", 0, 100_000)?.unwrap_or(base.provisioned);
    let seconds = |value: u32| Duration::from_secs(u64::from(value));
    function.idle_timeout = settled.idle_timeout_s.map(seconds).or(base.idle_timeout);
    function.timeout = bounded(settled.timeout_s, "timeout_s", 1, 86_400)?.map_or(base.timeout, seconds);
    if let Some(source) = &settled.source {
        function.source = match source.get_ref().as_str() {
            "synchronous" => Source::Synchronous,
            "asynchronous" => Source::Asynchronous,
            "polled" => Source::Polled,
            _ => return Err((source.span(), "source: synchronous, asynchronous or polled".to_owned())),
        };
    }
    if let Some(value) = &settled.arrivals {
        let arrivals = pattern(value.get_ref());
        function.arrivals = Some(arrivals.map_err(|why| (value.span(), format!("arrivals: {why}")))?);
    }
    for (value, place) in [
        (&settled.duration_ms, &mut function.duration),
        (&settled.init_ms, &mut function.init),
        (&settled.launch_ms, &mut function.launch),
    ] {
        if let Some(value) = value {
            *place = spread(value)?;
        }
    }
    Ok(function)
}

fn spread(value: &Spanned<Value>) -> Result<Spread, Wrong> {
    spreads::from_toml(value.get_ref()).map_err(|why| (value.span(), why))
}

/// `{ constant = RATE }`, `{ poisson = RATE }`, `{ bursty = RATE, variation = CV }`,
/// `{ steps = [[SECONDS, RATE], …], spacing = "poisson" }`, `{ diurnal = RATE, swing = PART, period_s = SECONDS }`.
fn pattern(value: &Value) -> Result<Pattern, String> {
    let Value::Table(members) = value else {
        return Err("a table, such as { poisson = 100 }".to_owned());
    };
    let known = |names: &[&str]| match members.keys().find(|name| !names.contains(&name.as_str())) {
        Some(name) => Err(format!("{name:?} does not belong here; there are {}", names.join(", "))),
        None => Ok(()),
    };
    let number = |name: &str, default: f64, max: f64| match members.get(name).map(spreads::float) {
        None => Ok(default),
        Some(Ok(number)) if (0.0..=max).contains(&number) => Ok(number),
        Some(_) => Err(format!("{name} is a number from 0 to {max}")),
    };
    if members.contains_key("constant") {
        known(&["constant", "offset_ms"])?;
        let offset = spreads::duration(number("offset_ms", 0.0, f64::MAX)?)?;
        return Ok(Pattern::Constant { rate: number("constant", 0.0, RATE_MAX)?, offset });
    }
    if members.contains_key("poisson") {
        known(&["poisson"])?;
        return Ok(Pattern::Poisson { rate: number("poisson", 0.0, RATE_MAX)? });
    }
    if members.contains_key("bursty") {
        known(&["bursty", "variation"])?;
        let variation = number("variation", 3.0, 1_000.0)?.max(1.0);
        return Ok(Pattern::Bursty { rate: number("bursty", 0.0, RATE_MAX)?, variation });
    }
    if members.contains_key("diurnal") {
        known(&["diurnal", "swing", "period_s"])?;
        let period = spreads::duration(number("period_s", 86_400.0, 86_400.0)? * 1e3)?;
        let (rate, swing) = (number("diurnal", 0.0, RATE_MAX)?, number("swing", 0.15, 1.0)?);
        return Ok(Pattern::Diurnal { rate, swing, period });
    }
    if members.contains_key("steps") {
        known(&["steps", "spacing"])?;
        return steps(members);
    }
    Err("one of constant, poisson, bursty, diurnal, steps".to_owned())
}

fn steps(members: &Table) -> Result<Pattern, String> {
    let spacing = match members.get("spacing").map(Value::as_str) {
        None | Some(Some("constant")) => Spacing::Constant,
        Some(Some("poisson")) => Spacing::Poisson,
        Some(_) => return Err("spacing is \"constant\" or \"poisson\"".to_owned()),
    };
    let wrong = || "steps is a list of pairs [SECONDS, RATE]".to_owned();
    let list = members.get("steps").and_then(Value::as_array).ok_or_else(wrong)?;
    if list.len() > STEPS_MAX {
        return Err(format!("at most {STEPS_MAX} steps"));
    }
    let mut steps = Vec::with_capacity(list.len());
    for pair in list {
        let Some([length, rate]) = pair.as_array().map(Vec::as_slice) else { return Err(wrong()) };
        let (length, rate) = (spreads::float(length)?, spreads::float(rate)?);
        if !(0.0..=RATE_MAX).contains(&rate) {
            return Err(format!("rate {rate}: from 0 to {RATE_MAX}"));
        }
        steps.push(Step { length: spreads::duration(length * 1e3)?, rate });
    }
    Ok(Pattern::Steps { steps, spacing })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"
seed = 7
for = "1h30m"

[limits]
profile = "box"
account_limit = 50

[defaults]
init_ms = { p50 = 180, p99 = 900 }
memory_mb = 256

[[function]]
name = "api"
arrivals = { poisson = 20 }
duration_ms = { exponential = 80 }
reserved = 10
provisioned = 2
idle_timeout_s = 60
timeout_s = 3

[[function]]
name = "night"
memory_mb = 512
source = "asynchronous"
arrivals = { steps = [[60, 0], [0.5, 4]], spacing = "poisson" }
duration_ms = { upper = [10, 100], counts = [9, 1] }
launch_ms = 30

[[function]]
name = "day"
arrivals = { diurnal = 5, swing = 0.5, period_s = 3600 }
"#;

    #[test]
    fn a_file_says_all_there_is() {
        let (plan, trace, unknown) = parse(FULL).unwrap();
        assert_eq!((plan.workload.seed, plan.workload.length), (7, Duration::from_secs(5_400)));
        assert_eq!(plan.settings.to_string(), "profile=box account-limit=50");
        assert!(trace.is_none() && unknown.memory_mb == 256 && unknown.arrivals.is_none());
        let [api, night, day] = plan.workload.functions.as_slice() else { panic!("three functions") };
        assert_eq!((api.reserved, api.provisioned, api.memory_mb), (Some(10), 2, 256));
        assert_eq!(api.timeout, Duration::from_secs(3));
        assert_eq!((night.source, night.memory_mb), (Source::Asynchronous, 512));
        assert!(matches!(&night.arrivals, Some(Pattern::Steps { steps, .. }) if steps.len() == 2));
        assert!(matches!(day.arrivals, Some(Pattern::Diurnal { swing, .. }) if swing == 0.5));
        assert_eq!(day.init, api.init);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let cases = [
            ("seed = \n", 1, ""),
            ("seed = 1\nsede = 2\n", 2, "unknown field `sede`"),
            ("\nfor = \"soon\"\n", 2, "duration such as"),
            ("[limits]\n\nacount = 5\n", 3, "limits.acount: there is no such setting"),
            ("[limits]\nprofile = \"gcp\"\n", 2, "aws or box"),
            ("[[function]]\nname = \"a\"\narrivals = { poison = 1 }\n", 3, "one of constant, poisson"),
            ("[[function]]\nname = \"a\"\narrivals = { poisson = -1 }\n", 3, "from 0 to 1000000"),
            ("[[function]]\nname = \"a\"\narrivals = { poisson = 1, x = 1 }\n", 3, "\"x\" does not belong"),
            ("[[function]]\nname = \"a\"\nduration_ms = \"x\"\n", 3, "no number"),
            ("[[function]]\nname = \"a\"\nmemory_mb = 0\n", 1, "memory_mb = 0: from 1"),
            ("[[function]]\nname = \"a\"\n", 1, "nobody calls"),
            ("[[function]]\nname = \"a\"\n\n[[function]]\nname = \"a\"\n", 4, "two functions \"a\""),
            ("[synthetic]\nfunctions = 0\n", 1, "functions: from 1"),
            ("trace = \"t\"\n[[function]]\narrivals = { poisson = 1 }\n", 1, "say for how long"),
            ("[defaults]\nname = \"a\"\n", 1, "has no name"),
        ];
        for (text, line, part) in cases {
            let (at, why) = parse(text).err().unwrap_or_else(|| panic!("{text} is accepted"));
            assert!(at == line && why.contains(part), "{text}: {at}: {why}");
        }
    }
}
