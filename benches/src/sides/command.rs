//! A command that is started and waited for: other programs' sandboxes.

use crate::clock;
use crate::cpu;
use crate::error::Fault;
use crate::pairs::{Sample, Side};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What to run; `{n}` in an argument becomes the number of the run.
pub(crate) struct Waited {
    /// The program.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
    /// Removed at the end.
    pub(crate) scratch: Option<PathBuf>,
    /// Runs so far.
    pub(crate) count: u64,
}

impl Side for Waited {
    fn measure(&mut self) -> Result<Sample, Fault> {
        self.count += 1;
        let number = format!("{}-{}", std::process::id(), self.count);
        let mut command = Command::new(&self.program);
        command.args(self.arguments.iter().map(|argument| argument.replace("{n}", &number)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let before_us = cpu::of_waited_children()?;
        let start = clock::now();
        let output = command.output();
        let wall_us = clock::us_since(start);
        let output = output.map_err(|source| Fault::Spawn { program: self.program.clone(), source })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Fault::NotReady { program: "the comparator", said });
        }
        let cpu_us = cpu::of_waited_children()? - before_us;
        Ok(Sample { latencies_us: vec![wall_us], wall_us, cpu_us })
    }
}

impl Drop for Waited {
    fn drop(&mut self) {
        if let Some(scratch) = &self.scratch {
            std::fs::remove_dir_all(scratch).ok();
        }
    }
}

/// Where a program is, looked for as a shell does.
///
/// # Errors
/// When it is not installed.
pub(crate) fn find(name: &str, package: &str) -> Result<PathBuf, Fault> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.extend(["/usr/sbin".into(), "/sbin".into()]);
    let found = places.into_iter().map(|place| place.join(name)).find(|file| file.is_file());
    found.ok_or_else(|| Fault::Unavailable(format!("{name} is not installed: apt-get install {package}")))
}
