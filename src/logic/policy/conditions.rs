//! The conditions of a statement: which operators there are, and when each holds.
//!
//! Left out on purpose, and refused when a document is read: numbers, dates, binary values and sets, because no request
//! has keys of these kinds.

use super::{arn_like, glob};
use core::net::IpAddr;

/// A condition key in lower case, such as `aws:sourceip`.
pub type ContextKey = String;

/// One operator on one key, with the values any of which will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub(super) key: ContextKey,
    test: Test,
    /// Whether the values must *not* fit.
    negated: bool,
    /// Whether a request without the key will do.
    if_exists: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Equals(Vec<String>),
    /// Values in lower case.
    EqualsIgnoreCase(Vec<String>),
    Like(Vec<String>),
    Arn(Vec<String>),
    Bool(Vec<bool>),
    Ip(Vec<(IpAddr, u8)>),
    /// Whether the key must be absent.
    Null(bool),
}

impl Condition {
    /// Reads a condition as it is written; the error says what is not understood.
    pub(super) fn new(operator: &str, key: &str, values: Vec<String>) -> Result<Self, String> {
        if values.is_empty() {
            return Err(format!("the condition on {key} has no values"));
        }
        let (name, if_exists) = match operator.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (operator, false),
        };
        let negated = matches!(
            name,
            "StringNotEquals"
                | "StringNotEqualsIgnoreCase"
                | "StringNotLike"
                | "ArnNotEquals"
                | "ArnNotLike"
                | "NotIpAddress"
        );
        let test = match name {
            "StringEquals" | "StringNotEquals" => Test::Equals(values),
            "StringEqualsIgnoreCase" | "StringNotEqualsIgnoreCase" => {
                Test::EqualsIgnoreCase(values.iter().map(|value| value.to_lowercase()).collect())
            }
            "StringLike" | "StringNotLike" => Test::Like(values),
            // The two are the same to the service as well.
            "ArnEquals" | "ArnLike" | "ArnNotEquals" | "ArnNotLike" => Test::Arn(values),
            "Bool" => Test::Bool(values.iter().map(|value| truth(value)).collect::<Result<_, _>>()?),
            "IpAddress" | "NotIpAddress" => {
                Test::Ip(values.iter().map(|value| range(value)).collect::<Result<_, _>>()?)
            }
            "Null" if !if_exists => match values.as_slice() {
                [one] => Test::Null(truth(one)?),
                _ => return Err("Null takes one value".to_owned()),
            },
            _ => return Err(format!("the condition operator {operator} is not supported")),
        };
        Ok(Self { key: key.to_ascii_lowercase(), test, negated, if_exists })
    }

    /// Whether it holds for a request. Without the key, what must fit does not and what must not fit does.
    pub(super) fn holds(&self, context: &dyn Fn(&str) -> Option<String>) -> bool {
        let value = context(&self.key);
        if let Test::Null(absent) = self.test {
            return absent == value.is_none();
        }
        match value {
            None => self.if_exists || self.negated,
            Some(value) => self.test.fits(&value) != self.negated,
        }
    }
}

impl Test {
    fn fits(&self, found: &str) -> bool {
        match self {
            Self::Equals(values) => values.iter().any(|value| value == found),
            Self::EqualsIgnoreCase(values) => values.contains(&found.to_lowercase()),
            Self::Like(values) => values.iter().any(|value| glob(value, found)),
            Self::Arn(values) => values.iter().any(|value| arn_like(value, found)),
            Self::Bool(values) => truth(found).is_ok_and(|found| values.contains(&found)),
            Self::Ip(ranges) => {
                let address = found.parse::<IpAddr>().map(|address| address.to_canonical());
                address.is_ok_and(|address| ranges.iter().any(|range| is_within(address, *range)))
            }
            Self::Null(_) => false,
        }
    }
}

fn truth(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// An address, or a network as `address/bits`.
fn range(text: &str) -> Result<(IpAddr, u8), String> {
    let wrong = || format!("{text:?} is neither an IP address nor a range of them");
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address = address.parse::<IpAddr>().map_err(|_| wrong())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Ok(most), |bits| bits.parse::<u8>().map_err(|_| wrong()))?;
    if bits <= most { Ok((address, bits)) } else { Err(wrong()) }
}

fn is_within(address: IpAddr, (network, bits): (IpAddr, u8)) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            u32::from(address) & mask == u32::from(network) & mask
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            u128::from(address) & mask == u128::from(network) & mask
        }
        _ => false,
    }
}
