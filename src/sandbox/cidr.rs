//! IPv4 ranges as people write them: `10.0.0.0/8`. Plain data with the few questions that networks ask of it.
//!
//! IPv4 only: environments have no IPv6 (see `link`).

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// A range of addresses: those that share the first `prefix` bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cidr {
    first: Ipv4Addr,
    prefix: u8,
}

/// A text that is no range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an IPv4 range like 10.0.0.0/8, without bits below the prefix")]
pub struct CidrError;

impl Cidr {
    /// The range of this size around an address.
    ///
    /// # Panics
    /// Never: a prefix above 32 counts as 32.
    #[must_use]
    pub fn around(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = prefix.min(32);
        Self { first: Ipv4Addr::from_bits(address.to_bits() & mask(prefix)), prefix }
    }

    /// Its first address.
    #[must_use]
    pub const fn first(&self) -> Ipv4Addr {
        self.first
    }

    /// Its last address.
    #[must_use]
    pub fn last(&self) -> Ipv4Addr {
        self.at(u64::MAX)
    }

    /// Number of fixed bits.
    #[must_use]
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// How many addresses it has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        1 << (32 - self.prefix)
    }

    /// The address at this place, counted from 0; the last one for places beyond.
    #[must_use]
    pub fn at(&self, place: u64) -> Ipv4Addr {
        let place = place.min(self.size() - 1);
        Ipv4Addr::from_bits(self.first.to_bits() | u32::try_from(place).unwrap_or(u32::MAX))
    }

    /// Whether they share an address.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let mask = mask(self.prefix.min(other.prefix));
        self.first.to_bits() & mask == other.first.to_bits() & mask
    }
}

const fn mask(prefix: u8) -> u32 {
    match prefix {
        0 => 0,
        bits => u32::MAX << (32 - bits),
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    /// `10.0.0.0/8`, or a single address.
    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, prefix) = text.split_once('/').unwrap_or((text, "32"));
        let address: Ipv4Addr = address.parse().map_err(|_| CidrError)?;
        let plain = prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = prefix.parse().ok().filter(|bits| plain && *bits <= 32).ok_or(CidrError)?;
        let range = Self::around(address, prefix);
        // 10.1.2.3/8 is a slip: was the address meant, or the range?
        if range.first == address { Ok(range) } else { Err(CidrError) }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().expect(text)
    }

    #[test]
    fn ranges_print_as_they_are_written() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "192.0.2.1/32", "100.121.16.0/20"] {
            assert_eq!(cidr(text).to_string(), text);
        }
        assert_eq!(cidr("192.0.2.1").to_string(), "192.0.2.1/32");
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "10.0.0/8",
            "::/0",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "a/8",
            "10.0.0.0/-1",
        ] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_and_places() {
        assert_eq!(cidr("10.0.0.0/24").size(), 256);
        assert_eq!(cidr("0.0.0.0/0").size(), 1 << 32);
        assert_eq!(cidr("10.0.0.0/24").at(7).to_string(), "10.0.0.7");
        assert_eq!(cidr("10.0.0.0/24").at(999).to_string(), "10.0.0.255");
        assert_eq!(cidr("10.0.0.4/32").at(0).to_string(), "10.0.0.4");
        assert_eq!(cidr("10.0.0.0/22").last().to_string(), "10.0.3.255");
        assert_eq!(cidr("0.0.0.0/0").last().to_string(), "255.255.255.255");
    }

    #[test]
    fn ranges_overlap_when_one_holds_the_other() {
        assert!(cidr("10.0.0.0/8").overlaps(&cidr("10.9.0.0/16")));
        assert!(cidr("10.9.0.0/16").overlaps(&cidr("10.0.0.0/8")));
        assert!(cidr("0.0.0.0/0").overlaps(&cidr("192.0.2.1/32")));
        assert!(!cidr("10.0.0.0/9").overlaps(&cidr("10.128.0.0/9")));
    }
}
