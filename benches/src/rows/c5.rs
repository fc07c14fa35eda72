//! C5: the sandbox alone, around a program that does nothing, against the tools that make sandboxes.

use super::Row;
use crate::error::Fault;
use crate::pairs::{Side, Statistic};
use crate::sides::command::{Waited, find};
use crate::sides::sandbox::Sandboxed;
use crate::world::World;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

const WHAT: &str = "a sandbox from the park around `true`: asked for, run, destroyed";

pub(super) const BWRAP: Row = Row {
    id: "C5",
    what: WHAT,
    comparator: "bwrap --unshare-all around the same `true`: no limits, no filter, no /tmp of its own disk",
    statistic: Statistic::Latency,
    must: 0.6,
    aim: 0.2,
    ours,
    theirs: bwrap,
};

pub(super) const RUNC: Row = Row {
    id: "C5r",
    what: WHAT,
    comparator: "runc run of a bundle around the same `true`",
    statistic: Statistic::Latency,
    must: 0.1,
    aim: 0.04,
    ours,
    theirs: runc,
};

pub(super) const CRUN: Row = Row {
    id: "C5c",
    what: WHAT,
    comparator: "crun run of the same bundle (it refuses hybrid control groups)",
    statistic: Statistic::Latency,
    must: 0.5,
    aim: 0.12,
    ours,
    theirs: crun,
};

fn ours(world: &World) -> Result<Box<dyn Side>, Fault> {
    Ok(Box::new(Sandboxed::open(world)?))
}

fn bwrap(world: &World) -> Result<Box<dyn Side>, Fault> {
    let program = find("bwrap", "bubblewrap")?;
    let scratch = root_with(&world.programs.succeed, "bwrap")?;
    let root = scratch.join("rootfs").display().to_string();
    let words = ["--unshare-all", "--die-with-parent", "--ro-bind", &root, "/", "--proc", "/proc", "--dev"];
    let mut arguments: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    arguments.extend(["/dev", "--tmpfs", "/tmp", "/true"].map(str::to_owned));
    Ok(Box::new(Waited { program, arguments, scratch: Some(scratch), count: 0 }))
}

fn runc(world: &World) -> Result<Box<dyn Side>, Fault> {
    oci(world, "runc", "runc")
}

fn crun(world: &World) -> Result<Box<dyn Side>, Fault> {
    oci(world, "crun", "crun")
}

/// A runtime that takes a bundle; refused here means unavailable, not failed.
fn oci(world: &World, name: &str, package: &str) -> Result<Box<dyn Side>, Fault> {
    let program = find(name, package)?;
    let scratch = root_with(&world.programs.succeed, name)?;
    let path = scratch.join("config.json");
    let text = format!("{:#}", bundle());
    fs::write(&path, text).map_err(|source| Fault::File { path, source })?;
    let bundle = scratch.display().to_string();
    let arguments = ["run", "--bundle", &bundle, "hearth-bench-{n}"].map(str::to_owned).to_vec();
    let mut side = Waited { program, arguments, scratch: Some(scratch), count: 0 };
    match side.measure() {
        Ok(_) => Ok(Box::new(side)),
        Err(fault) => Err(Fault::Unavailable(format!("{name} does not run here: {}", fault.line()))),
    }
}

/// A directory with `rootfs/` that holds the program and the places to mount at.
fn root_with(program: &Path, name: &str) -> Result<PathBuf, Fault> {
    let scratch = std::env::temp_dir().join(format!("hearth-bench-{name}-{}", std::process::id()));
    let root = scratch.join("rootfs");
    let file = |source| Fault::File { path: root.clone(), source };
    for directory in ["proc", "dev", "tmp", "sys"] {
        fs::create_dir_all(root.join(directory)).map_err(file)?;
    }
    fs::copy(program, root.join("true")).map_err(file)?;
    Ok(scratch)
}

/// What a container engine would ask for: all namespaces, no capabilities, limits, the usual mounts.
fn bundle() -> serde_json::Value {
    let namespaces = ["pid", "network", "ipc", "uts", "mount"].map(|kind| json!({"type": kind}));
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0}, "args": ["/true"], "env": ["PATH=/"], "cwd": "/",
            "capabilities": {"bounding": [], "effective": [], "permitted": []}, "noNewPrivileges": true
        },
        "root": {"path": "rootfs", "readonly": true},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev"]}
        ],
        "linux": {
            "resources": {"memory": {"limit": 536_870_912}, "pids": {"limit": 1024}},
            "namespaces": namespaces,
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list"],
            "readonlyPaths": ["/proc/sys", "/proc/bus"]
        }
    })
}
