//! Hearth's sandbox around a program, without a daemon: a forker of this binary's own (the same crate, the same
//! settings as the product's), asked for a sandbox, a program run in it, everything destroyed.
//!
//! The time runs from the request to the word that nothing is left. The sandbox comes from the park, as it does for a
//! function; the CPU time is that of the forker's tree until it is at rest again, the refill of the park included.

use crate::clock;
use crate::cpu;
use crate::error::Fault;
use crate::pairs::{Sample, Side};
use crate::world::World;
use hearth_sandbox::forker::client::Forker;
use hearth_sandbox::spec::{ForkerReply, ForkerRequest, InitReport, ProcessSpec};
use hearth_sandbox::{
    Channel, Cidr, Contents, Digest, Exit, ForkerConfig, InitRequest, InnerUser, LaunchSpec, NatSpec,
    NetworkClass, RuntimeMount, SandboxId,
};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

const RUNTIME: &str = "provided.al2023";
const CODE: Digest = Digest([0xAB; 32]);
const UID_BASE: u32 = 1_950_000_000;
const UID_COUNT: u32 = 64;
const TMP_MB: u32 = 512;
const LIMIT: u32 = 1024;

/// A forker with a park.
pub(crate) struct Sandboxed {
    forker: Forker,
    state: PathBuf,
    last: u64,
}

impl Sandboxed {
    /// Starts the forker over a code tree that holds the program `true`.
    ///
    /// # Errors
    /// When it cannot be set up, for want of privileges for example.
    pub(crate) fn open(world: &World) -> Result<Self, Fault> {
        let state = std::env::temp_dir().join(format!("hearth-bench-sandbox-{}", std::process::id()));
        let code = state.join("unpacked").join(CODE.hex());
        let program = code.join("bootstrap");
        let file = |source| Fault::File { path: program.clone(), source };
        fs::create_dir_all(&code).map_err(file)?;
        fs::copy(&world.programs.succeed, &program).map_err(file)?;
        for path in [&state, &state.join("unpacked"), &code, &program] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(file)?;
        }
        let config = ForkerConfig {
            instance: format!("bench{}", std::process::id()),
            state_dir: state.display().to_string(),
            uid_base: UID_BASE,
            uid_count: UID_COUNT,
            parked: 4,
            tmp_mb: TMP_MB,
            pids_max: LIMIT,
            nofile: LIMIT,
            sandboxes_max: UID_COUNT - 1,
            network: NetworkClass::Nat,
            nat: Some(NatSpec {
                range: Cidr::around([100, 121, 0, 0].into(), 16),
                deny: Vec::new(),
                allow: Vec::new(),
                addresses: UID_COUNT,
            }),
            runtimes: vec![RuntimeMount { name: RUNTIME.into(), prefix: None, files: Vec::new() }],
        };
        let forker = Forker::start(&config, None).map_err(Fault::system("start a forker"))?;
        Ok(Self { forker, state, last: 0 })
    }

    /// Launch, run, destroy.
    fn once(&mut self) -> Result<(), Fault> {
        self.last += 1;
        let sandbox = SandboxId(self.last);
        let spec = LaunchSpec {
            contents: Contents::Task { code: CODE, layers: None, runtime: RUNTIME.into() },
            user: InnerUser::default(),
            memory_mb: 512,
            tmp_mb: TMP_MB,
            network: NetworkClass::Nat,
        };
        self.ask(&ForkerRequest::Launch { sandbox, spec })?;
        let (reply, mut fds) = self.hear()?;
        if reply != (ForkerReply::Launched { sandbox }) || fds.is_empty() {
            return Err(Fault::Protocol(format!("the forker answered {reply:?}")));
        }
        let control: Channel<InitRequest, InitReport> = Channel::new(fds.remove(0));
        let process = ProcessSpec {
            candidates: vec!["/var/task/bootstrap".into()],
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: "/var/task".into(),
            failure_is_exit: false,
        };
        control.send(&InitRequest::Spawn(process), &[]).map_err(broken)?;
        loop {
            match control.receive().map_err(broken)? {
                Some((InitReport::Exited(Exit::Code(0)), _)) => break,
                Some((InitReport::Spawned, _)) | None => {}
                Some((other, _)) => return Err(Fault::Protocol(format!("pid 1 said {other:?}"))),
            }
        }
        self.ask(&ForkerRequest::Destroy { sandbox })?;
        match self.hear()? {
            (ForkerReply::Destroyed { sandbox: gone }, _) if gone == sandbox => Ok(()),
            (other, _) => Err(Fault::Protocol(format!("the forker answered {other:?}"))),
        }
    }

    fn ask(&self, request: &ForkerRequest) -> Result<(), Fault> {
        self.forker.channel.send(request, &[]).map_err(broken)
    }

    fn hear(&self) -> Result<(ForkerReply, Vec<std::os::fd::OwnedFd>), Fault> {
        loop {
            // `None` is an interrupted wait.
            if let Some(heard) = self.forker.channel.receive().map_err(broken)? {
                return Ok(heard);
            }
        }
    }
}

fn broken(error: hearth_sandbox::ChannelError) -> Fault {
    Fault::Protocol(error.to_string())
}

impl Side for Sandboxed {
    fn measure(&mut self) -> Result<Sample, Fault> {
        let roots = [self.forker.child.id()];
        let before = cpu::rest(&roots)?;
        let start = clock::now();
        self.once()?;
        let wall_us = clock::us_since(start);
        let after = cpu::rest(&roots)?;
        Ok(Sample { latencies_us: vec![wall_us], wall_us, cpu_us: after.us - before.us })
    }
}

impl Drop for Sandboxed {
    fn drop(&mut self) {
        // It cleans up when its channel closes; a kill would leave that to the next start.
        let closed = std::os::unix::net::UnixStream::pair();
        if let Ok((other, _)) = closed {
            self.forker.channel = Channel::new(other.into());
        }
        self.forker.child.wait().ok();
        fs::remove_dir_all(&self.state).ok();
    }
}
