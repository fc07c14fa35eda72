//! ARNs of what is no function: layers, code signing configurations, event source mappings.
//!
//! Read in one place for whoever acts on a thing and whoever asks a policy about it. Were there two readings, a denial
//! could be evaded by a spelling that only one of them takes for the same thing. Functions have more forms (`arn`).

use crate::arn::Home;

/// What an ARN of this service names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    /// Its kind, such as `layer`.
    pub kind: &'a str,
    /// What follows the kind; of a layer's version its name and number.
    pub id: &'a str,
}

/// Why an ARN names nothing of this service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Elsewhere {
    /// It is no ARN of Lambda's.
    #[error("it is no ARN of Lambda's")]
    Form,
    /// Of another partition.
    #[error("it is of another partition")]
    Partition,
    /// Of another region.
    #[error("it is of another region")]
    Region,
    /// Of another account.
    #[error("it is of another account")]
    Account,
}

impl Home {
    /// Reads `arn:aws:lambda:REGION:ACCOUNT:KIND:ID`. The partition may be left out, as patterns of the API allow.
    ///
    /// # Errors
    /// The first part, from the left, that is not this service's.
    pub fn own<'a>(&self, arn: &'a str) -> Result<Named<'a>, Elsewhere> {
        let parts: Vec<&str> = arn.splitn(7, ':').collect();
        let ["arn", partition, "lambda", region, account, kind, id] = parts[..] else {
            return Err(Elsewhere::Form);
        };
        if !partition.is_empty() && partition != self.partition {
            return Err(Elsewhere::Partition);
        }
        if region != self.region {
            return Err(Elsewhere::Region);
        }
        if account != self.account {
            return Err(Elsewhere::Account);
        }
        Ok(Named { kind, id })
    }

    /// Reads the ARN of a layer's version: its name and number.
    ///
    /// # Errors
    /// As [`Home::own`]; [`Elsewhere::Form`] for another kind.
    ///
    /// ```
    /// let home = hearth_api::arn::Home::new("us-east-1", "000000000000");
    /// let found = home.own_layer_version("arn:aws:lambda:us-east-1:000000000000:layer:tools:007");
    /// assert_eq!(found, Ok(("tools", 7)));
    /// ```
    pub fn own_layer_version<'a>(&self, arn: &'a str) -> Result<(&'a str, i64), Elsewhere> {
        let Named { kind: "layer", id } = self.own(arn)? else { return Err(Elsewhere::Form) };
        let (name, number) = id.split_once(':').ok_or(Elsewhere::Form)?;
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        // A number that is too large is that of no version.
        match is_number {
            true => Ok((name, number.parse().unwrap_or(i64::MAX))),
            false => Err(Elsewhere::Form),
        }
    }

    /// `arn:aws:lambda:REGION:ACCOUNT:KIND:ID`.
    #[must_use]
    pub fn arn_of(&self, kind: &str, id: &str) -> String {
        let Self { partition, region, account } = self;
        format!("arn:{partition}:lambda:{region}:{account}:{kind}:{id}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> Home {
        Home::new("us-east-1", "000000000000")
    }

    #[test]
    fn an_arn_of_another_place_is_told_by_its_first_foreign_part() {
        let cases = [
            ("arn:aws:lambda:us-east-1:000000000000:layer:l", Ok(Named { kind: "layer", id: "l" })),
            ("arn::lambda:us-east-1:000000000000:layer:l:1", Ok(Named { kind: "layer", id: "l:1" })),
            ("arn:aws-cn:lambda:us-east-1:000000000000:layer:l", Err(Elsewhere::Partition)),
            ("arn:aws-cn:lambda:eu-west-1:111111111111:layer:l", Err(Elsewhere::Partition)),
            ("arn:aws:lambda:eu-west-1:111111111111:layer:l", Err(Elsewhere::Region)),
            ("arn:aws:lambda:us-east-1:111111111111:layer:l", Err(Elsewhere::Account)),
            ("arn:aws:s3:us-east-1:000000000000:layer:l", Err(Elsewhere::Form)),
            ("l", Err(Elsewhere::Form)),
        ];
        for (arn, expected) in cases {
            assert_eq!(home().own(arn), expected, "{arn}");
        }
    }

    #[test]
    fn a_version_has_one_number_however_it_is_written() {
        let prefix = "arn:aws:lambda:us-east-1:000000000000";
        for number in ["7", "007", "0000000000000000000000007"] {
            assert_eq!(home().own_layer_version(&format!("{prefix}:layer:l:{number}")), Ok(("l", 7)));
        }
        for text in ["layer:l", "layer:l:", "layer:l:+7", "layer:l:7:7", "function:l:7"] {
            assert!(home().own_layer_version(&format!("{prefix}:{text}")).is_err(), "{text}");
        }
    }

    #[test]
    fn what_was_read_is_written_the_same() {
        let arn = "arn:aws:lambda:us-east-1:000000000000:code-signing-config:csc-1";
        let Named { kind, id } = home().own(arn).expect("is ours");
        assert_eq!(home().arn_of(kind, id), arn);
    }
}
