//! The system call filters of a function, compiled from `deploy/seccomp/function.json`.
//!
//! Two programs: one answers ENOSYS for calls whose callers fall back politely (clone3, io_uring …), the other
//! is the allow-list, and everything else is EPERM. The kernel applies the stricter verdict of the two.

use seccompiler::{BpfProgram, TargetArch};

const SOURCE: &str = include_str!("../../deploy/seccomp/function.json");

/// The compiled programs, in the order in which they are installed.
#[derive(Debug)]
pub struct Filters(Vec<BpfProgram>);

/// Why the filters could not be compiled or installed.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// The host's processor is not one the filter file is written for.
    #[error("no system call filter for this processor")]
    Architecture,
    /// The file is wrong; a test compiles it, so this is a bug.
    #[error("system call filter: {0}")]
    Compile(String),
}

impl Filters {
    /// Compiles both programs for this processor.
    ///
    /// # Errors
    /// On a processor that the file is not written for.
    pub fn compile() -> Result<Self, FilterError> {
        let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|_| FilterError::Architecture)?;
        let mut programs = seccompiler::compile_from_json(SOURCE.as_bytes(), arch)
            .map_err(|error| FilterError::Compile(error.to_string()))?;
        let mut take = |name: &str| {
            programs.remove(name).ok_or_else(|| FilterError::Compile(format!("`{name}` is missing")))
        };
        Ok(Self(vec![take("absent")?, take("allowed")?]))
    }

    /// Installs them in the calling thread; all its children inherit them.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn install(&self) -> Result<(), FilterError> {
        for program in &self.0 {
            seccompiler::apply_filter(program).map_err(|error| FilterError::Compile(error.to_string()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_file_compiles() {
        assert_eq!(Filters::compile().expect("the file is valid").0.len(), 2);
    }
}
