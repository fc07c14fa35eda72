//! The name service of environments of class `nat`: passes their questions on to resolvers, and the answers back.
//!
//! The sockets are bound inside the sandbox, so no packet of a function reaches a resolver of the host directly, and the
//! daemon can ask one that listens on the host's loopback. One task per environment owns all of its questions and ends
//! with it. It understands no more of a message than its number, keeps no answers, and nothing that one environment asks
//! is seen by another.

use super::clock;
use hearth_logic::Time;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Questions of one environment under way at once; further ones are answered with a failure.
const QUESTIONS_MAX: usize = 32;
/// Questions of all environments under way at once: each holds a descriptor and a buffer.
const QUESTIONS_TOTAL_MAX: usize = 256;
/// Connections of one environment; further ones are closed.
const CONNECTIONS_MAX: usize = 8;
/// Connections of all environments: each holds a descriptor.
const CONNECTIONS_TOTAL_MAX: usize = 128;
/// A longer datagram is no question.
const QUESTION_BYTES_MAX: usize = 4096;
/// The largest that a datagram, or a message on a connection, can be.
const ANSWER_BYTES_MAX: usize = 65_535;
/// All attempts together: C libraries wait for five seconds, and should hear of the failure.
const ANSWER_WITHIN: Duration = Duration::from_millis(4_500);
/// How often each resolver is asked.
const ROUNDS: usize = 2;
/// A connection without a question is closed.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// Pause after a socket failed, so that a failure that stays does not take a core.
const FAILURE_PAUSE: Duration = Duration::from_millis(100);
/// How often the host's list of resolvers is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// libc's own bounds.
const RESOLVERS_MAX: usize = 3;
const RESOLV_CONF_BYTES_MAX: u64 = 64 * 1024;

const HEADER: usize = 12;
const IS_ANSWER: u8 = 0x80;
const RECURSION_AVAILABLE: u8 = 0x80;
const CODE_MASK: u8 = 0x0f;
const SERVER_FAILURE: u8 = 2;
const PORT: u16 = 53;

/// Who is asked, and how much is under way.
pub(crate) struct Resolvers {
    configured: Vec<SocketAddr>,
    file: PathBuf,
    found: Mutex<Found>,
    questions: Arc<Semaphore>,
    connections: Arc<Semaphore>,
}

#[derive(Default)]
struct Found {
    looked: Option<Time>,
    changed: Option<SystemTime>,
    resolvers: Vec<SocketAddr>,
}

impl Resolvers {
    /// Those of the configuration; if there are none, those of the host's `resolv.conf`, as it is at the time.
    pub(crate) fn new(configured: &[SocketAddr]) -> Self {
        Self {
            configured: configured.to_vec(),
            file: PathBuf::from("/etc/resolv.conf"),
            found: Mutex::default(),
            questions: Arc::new(Semaphore::new(QUESTIONS_TOTAL_MAX)),
            connections: Arc::new(Semaphore::new(CONNECTIONS_TOTAL_MAX)),
        }
    }

    fn now(&self) -> Vec<SocketAddr> {
        if !self.configured.is_empty() {
            return self.configured.clone();
        }
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::now();
        if found.looked.is_none_or(|looked| now >= looked.after(LOOK_EVERY)) {
            found.looked = Some(now);
            let changed = fs::metadata(&self.file).and_then(|data| data.modified()).ok();
            if changed.is_none() || changed != found.changed {
                found.changed = changed;
                found.resolvers = read_resolvers(&self.file);
            }
        }
        found.resolvers.clone()
    }
}

fn read_resolvers(file: &std::path::Path) -> Vec<SocketAddr> {
    let mut text = String::new();
    let opened = fs::File::open(file);
    // What cannot be read names nobody, as for libc.
    opened
        .and_then(|file| {
            io::Read::read_to_string(&mut io::Read::take(file, RESOLV_CONF_BYTES_MAX), &mut text)
        })
        .ok();
    nameservers(&text)
}

/// The `nameserver` lines of a `resolv.conf`; this machine if there are none (resolv.conf(5)).
fn nameservers(text: &str) -> Vec<SocketAddr> {
    let listed = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        words.next().filter(|word| *word == "nameserver").and_then(|_| nameserver(words.next()?))
    });
    let mut found: Vec<SocketAddr> = listed.take(RESOLVERS_MAX).collect();
    if found.is_empty() {
        found.push((Ipv4Addr::LOCALHOST, PORT).into());
    }
    found
}

/// `192.0.2.1`, `2001:db8::1`, `fe80::1%eth0`.
fn nameserver(text: &str) -> Option<SocketAddr> {
    let Some((address, zone)) = text.split_once('%') else {
        return text.parse::<IpAddr>().ok().map(|address| (address, PORT).into());
    };
    let zone = zone.parse().ok().or_else(|| nix::net::if_::if_nametoindex(zone).ok())?;
    Some(SocketAddrV6::new(address.parse::<Ipv6Addr>().ok()?, PORT, 0, zone).into())
}

/// The two sockets inside.
pub(crate) struct Names {
    /// Over UDP.
    pub(crate) udp: UdpSocket,
    /// Over TCP.
    pub(crate) tcp: TcpListener,
}

/// What one environment may have of something that all share: no more than its own part, and no more than there is left,
/// so that however many take without end, something is left for whoever takes seldom.
#[derive(Clone)]
struct Places {
    own: Arc<Semaphore>,
    own_max: usize,
    shared: Arc<Semaphore>,
}

/// One place, until it is dropped.
struct Place {
    _own: OwnedSemaphorePermit,
    _shared: OwnedSemaphorePermit,
}

impl Places {
    fn new(own_max: usize, shared: &Arc<Semaphore>) -> Self {
        Self { own: Arc::new(Semaphore::new(own_max)), own_max, shared: Arc::clone(shared) }
    }

    fn take(&self) -> Option<Place> {
        let held = self.own_max - self.own.available_permits();
        if held >= self.shared.available_permits() {
            return None;
        }
        let own = Arc::clone(&self.own).try_acquire_owned().ok()?;
        let shared = Arc::clone(&self.shared).try_acquire_owned().ok()?;
        Some(Place { _own: own, _shared: shared })
    }
}

/// Serves one environment until it is dropped.
pub(crate) async fn serve(names: Names, resolvers: Arc<Resolvers>) {
    let Names { udp, tcp: listener } = names;
    let datagrams = Arc::new(udp);
    let places = Places::new(QUESTIONS_MAX, &resolvers.questions);
    let connections = Places::new(CONNECTIONS_MAX, &resolvers.connections);
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            // Most environments ask nothing for most of their life: there is no buffer before there is a question.
            ready = datagrams.readable() => {
                let (question, from) = match ready.and_then(|()| read_datagram(&datagrams)) {
                    Ok(received) => received,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                    Err(_) => {
                        tokio::time::sleep(FAILURE_PAUSE).await;
                        continue;
                    }
                };
                let (socket, resolvers) = (Arc::clone(&datagrams), Arc::clone(&resolvers));
                if let Some(place) = places.take() {
                    tasks.spawn(async move {
                        let _place = place;
                        if let Some(answer) = answer(&question, &resolvers, Way::Datagram).await {
                            // Whoever asked may have gone.
                            socket.send_to(&answer, from).await.ok();
                        }
                    });
                } else if let Some(answer) = failure(&question) {
                    datagrams.try_send_to(&answer, from).ok();
                }
            }
            accepted = listener.accept() => match (accepted, connections.take()) {
                (Ok((stream, _)), Some(place)) => {
                    let (resolvers, places) = (Arc::clone(&resolvers), places.clone());
                    tasks.spawn(async move {
                        let _place = place;
                        // A connection that fails is closed; nobody else is concerned.
                        converse(stream, &resolvers, &places).await.ok();
                    });
                }
                // Closed at once: too many.
                (Ok(_), None) => {}
                (Err(_), _) => tokio::time::sleep(FAILURE_PAUSE).await,
            },
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
        }
    }
}

fn read_datagram(socket: &UdpSocket) -> io::Result<(Vec<u8>, SocketAddr)> {
    let mut buffer = [0; QUESTION_BYTES_MAX];
    let (size, from) = socket.try_recv_from(&mut buffer)?;
    Ok((buffer[..size].to_vec(), from))
}

async fn converse(mut stream: TcpStream, resolvers: &Resolvers, places: &Places) -> io::Result<()> {
    loop {
        let question = timeout(IDLE_MAX, read_message(&mut stream)).await??;
        let Some(place) = places.take() else { return Ok(()) };
        let Some(answer) = answer(&question, resolvers, Way::Connection).await else { return Ok(()) };
        drop(place);
        timeout(IDLE_MAX, write_message(&mut stream, &answer)).await??;
    }
}

async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    let framed = [&length.to_be_bytes()[..], message].concat();
    stream.write_all(&framed).await
}

#[derive(Clone, Copy)]
enum Way {
    Datagram,
    Connection,
}

/// A resolver's answer, or a failure in its place; `None` for what is no question.
async fn answer(question: &[u8], resolvers: &Resolvers, way: Way) -> Option<Vec<u8>> {
    let failure = failure(question)?;
    let asked = resolvers.now();
    let attempts = u32::try_from(ROUNDS * asked.len()).unwrap_or(u32::MAX);
    let patience = ANSWER_WITHIN / attempts.max(1);
    for resolver in asked.iter().cycle().take(asked.len() * ROUNDS) {
        let attempt = async {
            match way {
                Way::Datagram => by_datagram(question, *resolver).await,
                Way::Connection => by_connection(question, *resolver).await,
            }
        };
        match timeout(patience, attempt).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => tracing::debug!(%resolver, %error, "a resolver cannot be asked"),
            Err(_) => tracing::debug!(%resolver, "a resolver does not answer"),
        }
    }
    Some(failure)
}

/// A socket of its own for each question: its port, which the kernel chooses, is what makes answers hard to forge.
async fn by_datagram(question: &[u8], resolver: SocketAddr) -> io::Result<Vec<u8>> {
    let any: IpAddr =
        if resolver.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(resolver).await?;
    socket.send(question).await?;
    let mut answer = vec![0; ANSWER_BYTES_MAX];
    loop {
        let size = socket.recv(&mut answer).await?;
        if answers(&answer[..size], question) {
            answer.truncate(size);
            return Ok(answer);
        }
    }
}

async fn by_connection(question: &[u8], resolver: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(resolver).await?;
    write_message(&mut stream, question).await?;
    let answer = read_message(&mut stream).await?;
    if answers(&answer, question) { Ok(answer) } else { Err(io::Error::other("an answer to something else")) }
}

fn answers(answer: &[u8], question: &[u8]) -> bool {
    answer.len() >= HEADER && answer[..2] == question[..2] && answer[2] & IS_ANSWER != 0
}

/// The question with the flags of a server failure; `None` for what is no question.
fn failure(question: &[u8]) -> Option<Vec<u8>> {
    if question.len() < HEADER || question[2] & IS_ANSWER != 0 {
        return None;
    }
    let mut answer = question.to_vec();
    answer[2] |= IS_ANSWER;
    answer[3] = (answer[3] & !CODE_MASK) | RECURSION_AVAILABLE | SERVER_FAILURE;
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: [u8; 17] = [7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1];

    fn resolvers(asked: &[SocketAddr]) -> Arc<Resolvers> {
        Arc::new(Resolvers::new(asked))
    }

    async fn udp() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let address = socket.local_addr().expect("an address");
        (socket, address)
    }

    async fn tcp() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let address = listener.local_addr().expect("an address");
        (listener, address)
    }

    fn reply_to(question: &[u8], data: &[u8]) -> Vec<u8> {
        let mut reply = [question, data].concat();
        reply[2] |= IS_ANSWER;
        reply
    }

    /// A relay, and where it listens (datagrams, connections).
    async fn relay(asked: &[SocketAddr]) -> (tokio::task::JoinHandle<()>, SocketAddr, SocketAddr) {
        let ((udp, at), (tcp, by_tcp)) = (udp().await, tcp().await);
        (tokio::spawn(serve(Names { udp, tcp }, resolvers(asked))), at, by_tcp)
    }

    async fn ask(relay: SocketAddr, question: &[u8]) -> Vec<u8> {
        let (client, _) = udp().await;
        client.send_to(question, relay).await.expect("sent");
        let mut buffer = vec![0; ANSWER_BYTES_MAX];
        let size = timeout(Duration::from_secs(20), client.recv(&mut buffer))
            .await
            .expect("in time")
            .expect("received");
        buffer[..size].to_vec()
    }

    #[tokio::test]
    async fn questions_and_answers_pass_unchanged() {
        let (resolver, address) = udp().await;
        let (task, at, _) = relay(&[address]).await;
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            let (size, from) = resolver.recv_from(&mut buffer).await.expect("a question");
            assert_eq!(buffer[..size], QUESTION);
            // Somebody else's number, and a question: neither is the answer.
            resolver
                .send_to(&reply_to(&[&[1, 1], &QUESTION[2..]].concat(), b"forged"), from)
                .await
                .expect("sent");
            resolver.send_to(&QUESTION, from).await.expect("sent");
            resolver.send_to(&reply_to(&QUESTION, b"answer"), from).await.expect("sent");
        });
        assert_eq!(ask(at, &QUESTION).await, reply_to(&QUESTION, b"answer"));
        task.abort();
    }

    #[tokio::test]
    async fn the_next_resolver_is_asked_when_one_refuses() {
        let (closed, dead) = udp().await;
        drop(closed);
        let (resolver, living) = udp().await;
        let (task, at, _) = relay(&[dead, living]).await;
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            let (size, from) = resolver.recv_from(&mut buffer).await.expect("a question");
            resolver.send_to(&reply_to(&buffer[..size], b"second"), from).await.expect("sent");
        });
        assert_eq!(ask(at, &QUESTION).await, reply_to(&QUESTION, b"second"));
        task.abort();
    }

    #[tokio::test]
    async fn without_an_answer_there_is_a_server_failure() {
        let (closed, dead) = udp().await;
        drop(closed);
        let (task, at, _) = relay(&[dead]).await;
        let answer = ask(at, &QUESTION).await;
        assert_eq!((answer[2] & IS_ANSWER, answer[3] & CODE_MASK), (IS_ANSWER, SERVER_FAILURE));
        assert_eq!(
            (answer[..2].to_vec(), answer[4..].to_vec()),
            (QUESTION[..2].to_vec(), QUESTION[4..].to_vec())
        );
        task.abort();
    }

    #[tokio::test]
    async fn one_environment_has_a_bounded_number_of_questions_under_way() {
        let (resolver, address) = udp().await;
        let (task, at, _) = relay(&[address]).await;
        let (client, _) = udp().await;
        for number in 0..=QUESTIONS_MAX {
            let mut question = QUESTION;
            question[0] = u8::try_from(number).expect("few");
            client.send_to(&question, at).await.expect("sent");
        }
        // The resolver keeps silent: the first word back is the refusal of the one too many.
        let mut buffer = [0; 512];
        let received = timeout(Duration::from_secs(2), client.recv(&mut buffer)).await;
        received.expect("at once, not when all have timed out").expect("received");
        assert_eq!((usize::from(buffer[0]), buffer[3] & CODE_MASK), (QUESTIONS_MAX, SERVER_FAILURE));
        drop(resolver);
        task.abort();
    }

    #[test]
    fn environments_that_ask_without_end_leave_places_to_others() {
        let shared = Arc::new(Semaphore::new(QUESTIONS_TOTAL_MAX));
        let environment = || Places::new(QUESTIONS_MAX, &shared);
        let floods: Vec<Places> = (0..100).map(|_| environment()).collect();
        let mut held = Vec::new();
        for _ in 0..QUESTIONS_MAX {
            held.extend(floods.iter().filter_map(Places::take));
        }
        assert!((QUESTIONS_TOTAL_MAX / 2..QUESTIONS_TOTAL_MAX).contains(&held.len()), "{}", held.len());
        assert!(environment().take().is_some(), "who comes late and asks once");
        drop(held);
        assert_eq!(shared.available_permits(), QUESTIONS_TOTAL_MAX);
        let own: Vec<Place> = std::iter::from_fn(|| floods[0].take()).collect();
        assert_eq!(own.len(), QUESTIONS_MAX, "when nobody else asks");
    }

    #[tokio::test]
    async fn connections_carry_several_questions_in_a_row() {
        let (resolver, address) = tcp().await;
        let (task, _, at) = relay(&[address]).await;
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = resolver.accept().await.expect("a connection");
                let question = read_message(&mut stream).await.expect("a question");
                write_message(&mut stream, &reply_to(&question, &[5; 40_000])).await.expect("sent");
            }
        });
        let mut stream = TcpStream::connect(at).await.expect("connected");
        for _ in 0..2 {
            write_message(&mut stream, &QUESTION).await.expect("sent");
            assert_eq!(
                read_message(&mut stream).await.expect("an answer"),
                reply_to(&QUESTION, &[5; 40_000])
            );
        }
        task.abort();
    }

    #[test]
    fn what_is_no_question_gets_no_answer() {
        assert_eq!(failure(&[0; 11]), None);
        assert_eq!(failure(&reply_to(&QUESTION, b"")), None);
    }

    #[test]
    fn resolv_conf_is_read_as_libc_reads_it() {
        let text = "# nameserver 192.0.2.9\nsearch example\nnameserver 192.0.2.1\nnameserver  2001:db8::1 \n\
                    nameserver fe80::1%lo\nnameserver 192.0.2.4\nnameserver nonsense\n";
        let found: Vec<String> = nameservers(text).iter().map(SocketAddr::to_string).collect();
        assert_eq!(found, ["192.0.2.1:53", "[2001:db8::1]:53", "[fe80::1%1]:53"]);
        assert_eq!(nameservers("options edns0\n"), [SocketAddr::from(([127, 0, 0, 1], 53))]);
    }

    #[test]
    fn configured_resolvers_replace_the_hosts() {
        let address = SocketAddr::from(([192, 0, 2, 53], 53));
        assert_eq!(Resolvers::new(&[address]).now(), [address]);
        assert!(!Resolvers::new(&[]).now().is_empty());
    }
}
