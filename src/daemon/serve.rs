//! `hearth serve`: from configuration to a running daemon and back to nothing.
//!
//! The order matters: everything privileged (listeners, interpreters, the forker) comes first, then privileges are given
//! up, then threads start. On the way out: no new work, a grace for what runs, then everything is destroyed.

use super::access::Access;
use super::code::Code;
use super::credentials::Keys;
use super::decisions::Decisions;
use super::dns::Resolvers;
use super::fetch::Fetcher;
use super::functions::{Functions, watch_provisioned};
use super::invoke::Shared;
use super::logs::{Logs, Retention};
use super::metrics::Metrics;
use super::record::RecordingFile;
use super::sandboxes::Sandboxes;
use super::scheduler::{self, Order, SchedulerHandle};
use super::{clock, farewell, pressure, random};
use crate::aws::surroundings::Surroundings;
use crate::config::{Config, Connections, environments_fit};
use crate::http::{self, admin::Health, control::Control, server};
use crate::outlet;
use crate::runtimes::discover::{self, Places};
use crate::runtimes::{Interpreter, Language, Missing, Runtimes, probe};
use crate::store::{Blobs, Layout, RunInfo, Sealer, Store, Unpacker, collect_garbage};
use hearth_api::arn::Home;
use hearth_logic::SchedulerLimits;
use hearth_sandbox::forker::client::Forker;
use hearth_sandbox::{ForkerConfig, NatSpec, nat, privileges};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, oneshot, watch};

/// After the grace, destroying what is left takes this long at most.
const DESTROY_MAX: Duration = Duration::from_secs(10);
/// How often unused code is looked for.
const COLLECT_EVERY: Duration = Duration::from_secs(300);
/// After code was released.
const COLLECT_SOON: Duration = Duration::from_secs(1);
/// After released code was found in use.
const COLLECT_AGAIN: Duration = Duration::from_secs(10);

type Problem = Box<dyn std::error::Error>;

/// Runs the daemon until it is told to stop; `record` names a file for what the scheduler hears.
pub(crate) fn serve(config: Config, record: Option<&Path>) -> Result<(), Problem> {
    check(&config)?;
    let layout = Layout::open(&config.state_dir, &random::hex::<8>())?;
    let listen = bind(config.listen, "listen")?;
    let admin = bind(config.admin_listen, "admin_listen")?;
    let (uid, gid) = service_user(&config)?;
    let access = Access::open(&config, &layout, uid, std::env::var("SUDO_UID").ok())?;
    let runtimes = Arc::new(find_runtimes(&config)?);
    let surroundings = Surroundings::of_this_process();
    tracing::info!(runtimes = ?runtimes.names(), absent = ?runtimes.absent(), "runtimes");
    let sealer = Sealer::of_state_directory(layout.root(), &key_file(&config), random::bytes)?;
    let open_files = privileges::raise_open_files();
    let forker = Forker::start(&forker_config(&config, &layout, &runtimes, open_files), Some(layout.lock()))?;
    tracing::info!(cgroups = %forker.cgroups, pid = forker.child.id(), "forker");
    if let Some(nat) = &forker.nat {
        tracing::info!(%nat, "network class nat");
    }
    layout.hand_over(uid, gid)?;
    let view = privileges::private_view(layout.root())?;
    let layout = layout.reached_by(&view);
    let recording = record.map(RecordingFile::create).transpose()?;
    privileges::give_up(uid, gid)?;
    // From here on this process is nobody special, and may have threads.
    let _log = outlet::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads(&config))
        .enable_all()
        .thread_name("hearth")
        .build()?;
    let forker_pid = forker.child.id();
    let started = Started {
        sealer,
        config,
        layout,
        listen,
        admin,
        access,
        runtimes,
        forker,
        surroundings,
        open_files,
        recording,
    };
    let result = runtime.block_on(run(started));
    runtime.shutdown_timeout(Duration::from_secs(1));
    if !farewell::await_forker(forker_pid) {
        tracing::error!(pid = forker_pid, "the forker is still at work");
    }
    result
}

struct Started {
    sealer: Sealer,
    config: Config,
    layout: Layout,
    listen: TcpListener,
    admin: TcpListener,
    access: Access,
    runtimes: Arc<Runtimes>,
    forker: Forker,
    surroundings: Surroundings,
    open_files: u64,
    recording: Option<RecordingFile>,
}

/// Threads that serve requests. As many as cores: with half of them one warm call takes 5 % less (it never wakes another
/// thread), but many callers at once get 10 % fewer answers (two cores; rows W1 and W4 of `benches/`).
fn threads(config: &Config) -> usize {
    config.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// What can be refused before anything is touched.
fn check(config: &Config) -> Result<(), Problem> {
    let missing = privileges::missing();
    if missing.is_empty() {
        return check_network(config);
    }
    Err(format!(
        "hearth serve makes namespaces, mounts and control groups, and lacks: {}. Start it as root; it gives these privileges up once its sandboxes' helper runs.",
        missing.join(", ")
    )
    .into())
}

fn check_network(config: &Config) -> Result<(), Problem> {
    let obstacles = if config.network.is_needed() { nat::obstacles() } else { Vec::new() };
    if obstacles.is_empty() {
        return Ok(());
    }
    Err(format!(
        "network class \"nat\", with which functions reach the outside, cannot be had here: {}. Either see to that, or set network.class = \"none\" (HEARTH_NETWORK__CLASS=none): functions have loopback only then.",
        obstacles.join("; ")
    )
    .into())
}

fn bind(address: SocketAddr, key: &str) -> Result<TcpListener, Problem> {
    let listener = TcpListener::bind(address).map_err(|error| {
        format!("cannot listen on {address}: {error}. Choose another address with `{key}` (port 0 picks a free one).")
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn find_runtimes(config: &Config) -> Result<Runtimes, Problem> {
    let found = discover::find(&Places::of_this_process());
    let mut configured: BTreeMap<String, Interpreter> = BTreeMap::new();
    for (name, program) in config.interpreters() {
        let language = if name.starts_with("python") { Language::Python } else { Language::Node };
        let interpreter = probe::ask_named(&program, language)
            .map_err(|error| format!("[runtimes.\"{name}\"] interpreter: {error}"))?;
        configured.insert(name, interpreter);
    }
    let missing = if config.substitutes_runtimes() { Missing::Substitute } else { Missing::Refuse };
    Ok(Runtimes::new(&found, &configured, missing))
}

fn forker_config(config: &Config, layout: &Layout, runtimes: &Runtimes, open_files: u64) -> ForkerConfig {
    let sandbox = &config.sandbox;
    let fit = environments_fit(open_files);
    ForkerConfig {
        instance: layout.instance().to_owned(),
        state_dir: layout.root().display().to_string(),
        uid_base: sandbox.uid_base,
        uid_count: sandbox.uid_count,
        parked: sandbox.parked,
        tmp_mb: sandbox.tmp_default_mb,
        pids_max: sandbox.pids_max,
        nofile: sandbox.nofile,
        sandboxes_max: u32::try_from(fit).unwrap_or(u32::MAX),
        runtimes: runtimes.mounts(),
        network: config.network.class,
        nat: config.network.is_needed().then(|| NatSpec {
            range: config.network.range,
            deny: config.network.deny.clone(),
            allow: config.network.allow.clone(),
            addresses: config.limits.environments_max + sandbox.parked,
        }),
    }
}

/// Where the key of secrets at rest is: as configured, else systemd's credential, else the host's file.
fn key_file(config: &Config) -> PathBuf {
    let credential = || {
        let folder = std::env::var_os("CREDENTIALS_DIRECTORY")?;
        Some(Path::new(&folder).join("hearth-key")).filter(|path| path.exists())
    };
    config.key_file.clone().or_else(credential).unwrap_or_else(|| PathBuf::from("/etc/hearth/key"))
}

/// Uid and gid that the daemon runs as: the configured user's, else the first of the reserved range.
fn service_user(config: &Config) -> Result<(u32, u32), Problem> {
    let Some(name) = &config.user else { return Ok((config.sandbox.uid_base, config.sandbox.uid_base)) };
    let user = match name.parse::<u32>() {
        Ok(uid) => nix::unistd::User::from_uid(uid.into())?,
        Err(_) => nix::unistd::User::from_name(name)?,
    };
    match (user, name.parse::<u32>()) {
        (Some(user), _) if user.uid.is_root() => Err("`user` must not be root: hearth gives root up".into()),
        (Some(user), _) => Ok((user.uid.as_raw(), user.gid.as_raw())),
        (None, Ok(uid)) if uid > 0 => Ok((uid, uid)),
        (None, _) => Err(format!("`user`: there is no user {name:?} on this host").into()),
    }
}

/// Who may use how many of the descriptors that this process may have.
fn shares(config: &Config, open_files: u64) -> (SchedulerLimits, Connections) {
    let limits = config.scheduler_limits(environments_fit(open_files));
    let connections = Connections::fit(open_files, limits.environments_max);
    tracing::info!(environments = limits.environments_max, ?connections, "open files");
    (limits, connections)
}

async fn run(started: Started) -> Result<(), Problem> {
    let Started { sealer, config, layout, listen, admin, access, runtimes, forker, surroundings, .. } =
        started;
    let (pure_v2, freezer) = (forker.cgroups == "v2", forker.freezer);
    let (limits, connections) = shares(&config, started.open_files);
    let metrics = Metrics::new()?;
    let (sandboxes, forker_gone) = Sandboxes::start(forker.channel, metrics.firewall_changes.clone())?;
    let store = Store::open(&layout.catalog(), sealer)?;
    let blobs = Blobs::new(&layout.blobs());
    let fetcher = Fetcher::new(&config.endpoints, &config.region, surroundings, blobs.clone())?;
    let unpacker = Arc::new(Unpacker::new(blobs.clone(), &layout.unpacked()));
    let (scheduler, inbox) = SchedulerHandle::new();
    let functions = functions(&config, &store, runtimes, &scheduler);
    let shared = Arc::new(Shared {
        metrics,
        logs: Logs::start(&layout.logs(), retention(&config))?,
        keys: Keys::default(),
        ring: access.ring(),
        sandboxes,
        code: Code::new(Arc::clone(&unpacker)),
        scheduler: scheduler.clone(),
        functions,
        pure_v2,
        freezer,
        resolvers: Arc::new(Resolvers::new(&config.network.dns)),
        network: config.network.clone(),
        decisions: Decisions::default(),
        invocations: AtomicU64::new(0),
        connections: Arc::new(Semaphore::new(connections.functions)),
    });
    let recording = started.recording.map(|file| file.begin(&limits)).transpose()?;
    let (recorder, recording) = recording.unzip();
    tokio::spawn(scheduler::start((limits, recorder), Arc::clone(&shared), scheduler.clone(), inbox));
    look_after(forker.meters, &shared);
    let info = run_info(&config, &layout, &access, (listen.local_addr()?, admin.local_addr()?));
    let base = format!("{}://{}", access.scheme(), info.listen);
    let listen = access.listener(tokio::net::TcpListener::from_std(listen)?);
    let identity = access.identity(&shared.keys)?;
    let control = Arc::new(Control::new(
        Arc::clone(&shared),
        (blobs.clone(), fetcher),
        &config,
        (identity, base.clone()),
    ));
    let (looked_after, forgetful) = (Arc::clone(&shared), scheduler.clone());
    let keeper = Keeper { store: store.clone(), blobs, unpacker, scheduler: forgetful, shared: looked_after };
    keeper.clone().collect()?;
    tokio::spawn(keeper.run());
    control.resume().await?;
    let health = Health::default();
    let (stop, stopped) = watch::channel(false);
    let observers = server::Limits::of(connections.observers);
    serve_control(listen, &control, server::Limits::of(connections.clients), stopped.clone());
    serve_admin(admin, (&control, &health), observers.clone(), stopped.clone())?;
    serve_socket(&layout.admin_socket(), &control, observers, stopped)?;
    let signals = Signals::catch()?;
    announce(&layout, &info, &base)?;
    health.set(true);
    let outcome = wait_for_end(signals, forker_gone, &control).await;
    health.set(false);
    drain(&scheduler, Duration::from_secs(config.drain_grace_s)).await;
    if let Some(recording) = recording {
        recording.finish();
    }
    stop.send(true).ok();
    layout.remove_run_info()?;
    store.close().await;
    shared.logs.flush();
    outcome
}

fn functions(
    config: &Config,
    store: &Store,
    runtimes: Arc<Runtimes>,
    scheduler: &SchedulerHandle,
) -> Functions {
    let home = Home::new(config.region.clone(), config.account_id.clone());
    Functions::new(store.clone(), runtimes, scheduler.clone(), home)
        .with_idle_timeouts(config.idle_timeouts.clone())
}

/// What is looked after for as long as the daemon lives.
fn look_after(meters: [std::fs::File; 2], shared: &Arc<Shared>) {
    tokio::spawn(pressure::watch(meters, Arc::clone(shared)));
    tokio::spawn(watch_provisioned(Arc::clone(shared)));
}

fn retention(config: &Config) -> Retention {
    Retention {
        file_bytes: config.logs.max_file_mb << 20,
        files: config.logs.keep_files,
        age: Duration::from_secs(config.logs.retention_days * 86_400),
    }
}

/// Removes code that nothing refers to any more.
#[derive(Clone)]
struct Keeper {
    store: Store,
    blobs: Blobs,
    unpacker: Arc<Unpacker>,
    scheduler: SchedulerHandle,
    shared: Arc<Shared>,
}

impl Keeper {
    /// How many packages wait for the last who may run them.
    fn collect(self) -> Result<u64, crate::store::GarbageError> {
        self.shared.code.offers.expire(clock::now());
        let uses = self.shared.functions.uses();
        let collected = collect_garbage(&self.store, &self.blobs, &self.unpacker, uses, |tree| {
            self.shared.code.forget(tree);
        })?;
        tracing::debug!(?collected, "unused code removed");
        Ok(collected.kept)
    }

    async fn run(self) {
        let mut pause = COLLECT_EVERY;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // Soon, since a root may be very large; not at once, since more may follow.
                () = self.shared.code.released.notified() => tokio::time::sleep(COLLECT_SOON).await,
            }
            let keeper = self.clone();
            pause = COLLECT_EVERY;
            let logs = self.shared.logs.clone();
            let swept = tokio::task::spawn_blocking(move || logs.sweep()).await;
            if let Err(error) = swept.map_err(std::io::Error::other).flatten() {
                tracing::warn!(%error, "old log files could not be removed");
            }
            self.scheduler.forget_unneeded().await;
            match tokio::task::spawn_blocking(move || keeper.collect()).await {
                Ok(Ok(0)) => {}
                Ok(Ok(_)) => pause = COLLECT_AGAIN,
                Ok(Err(error)) => tracing::warn!(%error, "unused code could not be removed"),
                Err(error) => tracing::error!(%error, "the search for unused code failed"),
            }
        }
    }
}

fn serve_control(
    listener: server::Listener,
    control: &Arc<Control>,
    limits: server::Limits,
    stop: watch::Receiver<bool>,
) {
    let control = Arc::clone(control);
    let meet = move |peer| {
        let control = Arc::clone(&control);
        async move {
            let connection = Arc::new(control.identity.meet(peer).await);
            move |request| {
                let (control, connection) = (Arc::clone(&control), Arc::clone(&connection));
                async move { control.handle(&connection, request).await }
            }
        }
    };
    tokio::spawn(server::serve_each(listener, Arc::new(meet), limits, stop));
}

fn serve_admin(
    listener: TcpListener,
    (control, health): (&Arc<Control>, &Health),
    limits: server::Limits,
    stop: watch::Receiver<bool>,
) -> Result<(), Problem> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (control, health) = (Arc::clone(control), health.clone());
    let meet = move |peer| {
        let (control, health) = (Arc::clone(&control), health.clone());
        std::future::ready(move |request| {
            let (control, health) = (Arc::clone(&control), health.clone());
            async move { http::admin::public(&control, &health, peer, request).await }
        })
    };
    tokio::spawn(server::serve_each(server::Listener::Tcp(listener), Arc::new(meet), limits, stop));
    Ok(())
}

fn serve_socket(
    path: &Path,
    control: &Arc<Control>,
    limits: server::Limits,
    stop: watch::Receiver<bool>,
) -> Result<(), Problem> {
    // A socket of a dead daemon: the lock says that nobody else uses this directory.
    std::fs::remove_file(path).ok();
    let listener = tokio::net::UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    let control = Arc::clone(control);
    let handler = move |request| http::admin::private(Arc::clone(&control), request);
    tokio::spawn(server::serve(server::Listener::Unix(listener), Arc::new(handler), limits, stop));
    Ok(())
}

/// What clients on this machine may know: where the API and the administration listen, and how to speak to them.
fn run_info(
    config: &Config,
    layout: &Layout,
    access: &Access,
    (listen, admin): (SocketAddr, SocketAddr),
) -> RunInfo {
    RunInfo {
        listen: listen.to_string(),
        admin: admin.to_string(),
        pid: std::process::id(),
        instance: layout.instance().to_owned(),
        region: config.region.clone(),
        certificate: access.fingerprint(),
    }
}

/// The one line on standard output, and `run.json` for clients on this machine.
fn announce(layout: &Layout, info: &RunInfo, base: &str) -> Result<(), Problem> {
    layout.write_run_info(info)?;
    println!("hearth: listening on {base}");
    tracing::info!(listen = %info.listen, admin = %info.admin, start_ms = clock::now().as_nanos() / 1_000_000, "ready");
    Ok(())
}

/// The signals that the daemon minds. Caught before anybody is told that it is ready: who reads the line may signal at once.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn catch() -> Result<Self, Problem> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Until the daemon is to end.
async fn wait_for_end(
    mut signals: Signals,
    mut forker_gone: tokio::task::JoinHandle<()>,
    control: &Arc<Control>,
) -> Result<(), Problem> {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => tracing::info!("SIGTERM: draining"),
            _ = signals.interrupt.recv() => tracing::info!("SIGINT: draining"),
            _ = &mut forker_gone => return Err("the forker ended; without it there are no sandboxes".into()),
            _ = signals.hangup.recv() => {
                let control = Arc::clone(control);
                // Files may be slow; nobody waits for the outcome, which is in the log.
                tokio::task::spawn_blocking(move || control.identity.reload());
                continue;
            }
        }
        return Ok(());
    }
}

async fn drain(scheduler: &SchedulerHandle, grace: Duration) {
    let (done, mut drained) = oneshot::channel();
    scheduler.order(Order::Drain(done));
    if tokio::time::timeout(grace, &mut drained).await.is_ok() {
        return;
    }
    tracing::warn!(grace_s = grace.as_secs(), "the grace is over: running invocations are ended");
    scheduler.order(Order::Stop);
    if tokio::time::timeout(DESTROY_MAX, drained).await.is_err() {
        tracing::error!("environments are left; the forker kills them");
    }
}
