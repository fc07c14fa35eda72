//! Durations as people write them, in milliseconds: a number, or a distribution by its name or its members.

use hearth_logic::simulate::spread::{Histogram, Spread};
use std::time::Duration;
use toml::Value;

/// The longest duration that can be written.
const MS_MAX: f64 = 86_400_000.0;

/// `500`, `exponential:500`, `lognormal:P50:P99`, `uniform:MIN:MAX`.
pub(super) fn from_text(text: &str) -> Result<Spread, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let ms =
        |text: &str| text.parse::<f64>().map_err(|_| format!("{text:?} is no number")).and_then(duration);
    match parts.as_slice() {
        [constant] => ms(constant).map(Spread::Constant),
        ["exponential", mean] => Ok(Spread::Exponential { mean: ms(mean)? }),
        ["lognormal", p50, p99] => lognormal(ms(p50)?, ms(p99)?),
        ["uniform", min, max] => uniform(ms(min)?, ms(max)?),
        _ => Err("write milliseconds, exponential:MEAN, lognormal:P50:P99 or uniform:MIN:MAX".to_owned()),
    }
}

/// A number; `{ exponential = MEAN }`; `{ p50, p99 }`; `{ min, max }`; `{ upper = […], counts = […] }`; or a text as above.
pub(super) fn from_toml(value: &Value) -> Result<Spread, String> {
    let members = match value {
        Value::String(text) => return from_text(text),
        Value::Table(members) => members,
        number => return duration(float(number)?).map(Spread::Constant),
    };
    let ms = |name: &str| members.get(name).map_or(Err(String::new()), float).and_then(duration);
    let names: Vec<&str> = members.keys().map(String::as_str).collect();
    match sorted(names).as_slice() {
        ["exponential"] => Ok(Spread::Exponential { mean: ms("exponential")? }),
        ["p50", "p99"] => lognormal(ms("p50")?, ms("p99")?),
        ["max", "min"] => uniform(ms("min")?, ms("max")?),
        ["counts", "upper"] => histogram(&members["upper"], &members["counts"]),
        _ => Err("write a number of milliseconds, { exponential = MEAN }, { p50 = …, p99 = … }, \
                  { min = …, max = … } or { upper = […], counts = […] }"
            .to_owned()),
    }
}

fn sorted(mut names: Vec<&str>) -> Vec<&str> {
    names.sort_unstable();
    names
}

fn lognormal(p50: Duration, p99: Duration) -> Result<Spread, String> {
    if p50.is_zero() || p99 < p50 {
        return Err("p50 must be above 0 and p99 not below it".to_owned());
    }
    Ok(Spread::lognormal(p50, p99))
}

fn uniform(min: Duration, max: Duration) -> Result<Spread, String> {
    if max < min { Err("max is below min".to_owned()) } else { Ok(Spread::Uniform { min, max }) }
}

fn histogram(upper: &Value, counts: &Value) -> Result<Spread, String> {
    let (Value::Array(upper), Value::Array(counts)) = (upper, counts) else {
        return Err("upper and counts are lists".to_owned());
    };
    let upper = upper.iter().map(|value| float(value).and_then(duration)).collect::<Result<_, _>>()?;
    let count = |value: &Value| value.as_integer().and_then(|n| u64::try_from(n).ok());
    let counts: Option<Vec<u64>> = counts.iter().map(count).collect();
    let counts = counts.ok_or("counts are whole numbers from 0")?;
    Histogram::new(upper, &counts).map(Spread::Histogram).map_err(|error| error.to_string())
}

/// A number of either kind.
pub(super) fn float(value: &Value) -> Result<f64, String> {
    match value {
        Value::Integer(n) => Ok(*n as f64),
        Value::Float(x) => Ok(*x),
        other => Err(format!("{other} is no number")),
    }
}

/// Milliseconds with fractions, to the nanosecond.
pub(super) fn duration(ms: f64) -> Result<Duration, String> {
    if (0.0..=MS_MAX).contains(&ms) {
        Ok(Duration::from_nanos((ms * 1e6).round() as u64))
    } else {
        Err(format!("{ms} ms: from 0 to {MS_MAX} (a day)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn texts_and_tables_say_the_same() {
        let cases = [
            ("500", "500", Spread::Constant(500 * MS)),
            ("0.5", "0.5", Spread::Constant(Duration::from_micros(500))),
            ("exponential:50", "{ exponential = 50 }", Spread::Exponential { mean: 50 * MS }),
            ("lognormal:40:300", "{ p50 = 40, p99 = 300 }", Spread::lognormal(40 * MS, 300 * MS)),
            ("uniform:10:20", "{ min = 10, max = 20.0 }", Spread::Uniform { min: 10 * MS, max: 20 * MS }),
        ];
        for (text, table, spread) in cases {
            assert_eq!(from_text(text).as_ref(), Ok(&spread), "{text}");
            let table: toml::Table = toml::from_str(&format!("x = {table}")).unwrap();
            assert_eq!(from_toml(&table["x"]).as_ref(), Ok(&spread), "{text}");
        }
        let table: toml::Table = toml::from_str("x = { upper = [1, 2], counts = [3, 4] }").unwrap();
        let histogram = Histogram::new(vec![MS, 2 * MS], &[3, 4]).unwrap();
        assert_eq!(from_toml(&table["x"]), Ok(Spread::Histogram(histogram)));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_reason() {
        for text in ["", "-1", "NaN", "inf", "1e99", "soon", "exponential", "lognormal:5", "lognormal:9:5"] {
            assert!(from_text(text).is_err(), "{text}");
        }
        let cases = [
            "{ mean = 5 }",
            "{ min = 2, max = 1 }",
            "{ upper = [1], counts = [0] }",
            "{ upper = 1, counts = 2 }",
        ];
        for text in cases {
            let table: toml::Table = toml::from_str(&format!("x = {text}")).unwrap();
            assert!(from_toml(&table["x"]).is_err(), "{text}");
        }
    }
}
