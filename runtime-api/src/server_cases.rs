//! The server against real sockets on the loopback, with a lifecycle behind it.
//!
//! It exists to prove what only real connections can: bounds, closed connections, bytes on the wire. Waits are for
//! conditions; the one duration is the limit after which a test has failed.

use crate::client::Client;
use crate::server::{Arrival, Desk, Limits, Listener, serve};
use crate::world::delivery;
use crate::*;
use hearth_logic::{Machine, Time};
use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};

const NEXT: &str = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: r\r\n\r\n";

/// An environment: the server, its owner's desk, and the lifecycle at a standstill of time.
struct Scene {
    address: SocketAddr,
    arrivals: mpsc::Receiver<Arrival>,
    desk: Desk,
    machine: Lifecycle,
    settled: BTreeMap<RequestId, Outcome>,
    finished: usize,
    given: u8,
}

impl Scene {
    async fn new(limits: Limits) -> Self {
        Self::sharing(limits, Arc::new(Semaphore::new(1_000))).await
    }

    async fn sharing(limits: Limits, pool: Arc<Semaphore>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback works");
        let address = listener.local_addr().expect("the loopback works");
        let (calls, arrivals) = mpsc::channel(16);
        tokio::spawn(serve(Listener::Tcp(listener), calls, limits, pool));
        Self {
            address,
            arrivals,
            desk: Desk::default(),
            machine: Lifecycle::new(Time::ZERO, Settings::default()),
            settled: BTreeMap::new(),
            finished: 0,
            given: 0,
        }
    }

    fn step(&mut self, event: Event) {
        let mut todo = Vec::new();
        self.machine.step(Time::ZERO, event, &mut todo);
        for action in todo {
            match action {
                Action::Answer { call, reply } => {
                    if let Err(reply) = self.desk.answer(call, reply) {
                        self.step(Event::Refused { action: Action::Answer { call, reply } });
                    }
                }
                Action::Settle { request_id, outcome } => {
                    self.settled.insert(request_id, outcome);
                }
                Action::Finished { .. } => self.finished += 1,
                _ => {}
            }
        }
    }

    /// Takes one call from the server.
    async fn take(&mut self) {
        let arrival = soon(self.arrivals.recv()).await.expect("the server runs");
        let event = self.desk.accept(arrival);
        self.step(event);
    }

    fn deliver(&mut self) -> RequestId {
        self.given += 1;
        let delivery = Arc::new(delivery(self.given));
        let id = delivery.request_id;
        self.step(Event::Deliver { delivery, timeout: Duration::from_secs(3) });
        id
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the loopback works")
    }

    /// A connection whose runtime has been given an event.
    async fn running(&mut self) -> (TcpStream, RequestId) {
        let mut stream = self.connect().await;
        stream.write_all(NEXT.as_bytes()).await.expect("the loopback works");
        self.take().await;
        let id = self.deliver();
        let (status, _) = answer(&mut stream).await;
        assert_eq!(status, 200);
        (stream, id)
    }
}

/// Fails the test instead of waiting for ever.
async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it happens soon")
}

/// Reads one answer: its status, and head and body as text.
async fn answer(stream: &mut TcpStream) -> (u16, String) {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().expect("a number")) {
                return (head[9..12].parse().expect("a number"), text);
            }
        }
        let mut chunk = [0; 4096];
        let read = soon(stream.read(&mut chunk)).await.expect("the loopback works");
        assert_ne!(read, 0, "closed after {text:?}");
        bytes.extend_from_slice(&chunk[..read]);
    }
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    matches!(soon(stream.read(&mut byte)).await, Ok(0) | Err(_))
}

fn post(id: RequestId, length: usize) -> String {
    format!(
        "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nHost: r\r\nContent-Length: {length}\r\n\r\n"
    )
}

#[tokio::test]
async fn a_runtime_is_served_over_one_connection() {
    let mut scene = Scene::new(Limits::default()).await;
    let address = scene.address;
    let runtime = tokio::task::spawn_blocking(move || {
        let mut client = Client::new(address).unwrap();
        for round in 1..=3u8 {
            let invocation = client.next().unwrap();
            assert_eq!(invocation.request_id, delivery(round).request_id.to_string());
            assert_eq!(invocation.invocation_id, delivery(round).delivery_id.to_string());
            assert_eq!(invocation.deadline_ms, 1_700_000_003_000);
            assert_eq!(invocation.payload, b"{\"a\":1}");
            let answer = match round {
                3 => client.error(&invocation, "Function.Broken", b"{\"errorType\":\"E\"}").unwrap(),
                _ => client.respond(&invocation, b"[1]").unwrap(),
            };
            assert_eq!((answer.status, answer.body.as_slice()), (202, &b"{\"status\":\"OK\"}\n"[..]));
            let again = client.respond(&invocation, b"[2]").unwrap();
            assert_eq!(again.status, 403);
        }
        let refused = client.init_error("Runtime.Late", b"{}").unwrap();
        assert_eq!(refused.status, 403);
    });
    for round in 0..3 {
        scene.take().await;
        assert_eq!(scene.finished, round);
        let id = scene.deliver();
        scene.take().await;
        assert!(scene.settled.contains_key(&id));
        scene.take().await;
    }
    scene.take().await;
    soon(runtime).await.unwrap();
    let broken = &scene.settled[&delivery(3).request_id];
    assert_eq!(broken.status(), Status::Error { error_type: "Function.Broken".to_owned().into() });
}

#[tokio::test]
async fn what_needs_no_state_is_answered_without_the_owner() {
    let scene = Scene::new(Limits::default()).await;
    let mut stream = scene.connect().await;
    let table = [
        ("GET /2018-06-01/ping", 200, "pong"),
        ("GET /nothing", 404, "404 page not found\n"),
        ("GET /2018-06-01/runtime/restore/next", 404, "404 page not found\n"),
        ("PUT /2018-06-01/runtime/invocation/next", 405, ""),
        ("POST /2018-06-01/runtime/invocation/x/error", 400, "InvalidRequestID"),
    ];
    for (line, status, text) in table {
        let request = format!("{line} HTTP/1.1\r\nHost: r\r\nContent-Length: 2\r\n\r\n{{}}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let (given, document) = answer(&mut stream).await;
        assert_eq!(given, status, "{line}");
        assert!(document.contains(text), "{line}: {document}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_the_caller_told_at_once() {
    let limits = Limits { body_bytes: 1000, ..Limits::default() };
    for announced in [true, false] {
        let mut scene = Scene::new(limits).await;
        let (mut stream, id) = scene.running().await;
        let head = match announced {
            true => post(id, 5000),
            false => post(id, 0).replace("Content-Length: 0", "Transfer-Encoding: chunked"),
        };
        stream.write_all(head.as_bytes()).await.unwrap();
        if !announced {
            stream.write_all(format!("7d0\r\n{}\r\n", "x".repeat(2000)).as_bytes()).await.unwrap();
        }
        // Told before the rest has been sent.
        scene.take().await;
        assert_eq!(scene.settled[&id], Outcome::Failed(Failure::ResponseTooLarge));
        let rest = if announced { "x".repeat(5000) } else { "0\r\n\r\n".to_owned() };
        stream.write_all(rest.as_bytes()).await.unwrap();
        let (status, text) = answer(&mut stream).await;
        assert_eq!(status, 413);
        assert!(text.contains("RequestEntityTooLarge"));
        // The same connection goes on.
        stream.write_all(NEXT.as_bytes()).await.unwrap();
        scene.take().await;
        assert_eq!(scene.finished, 1);
    }
}

#[tokio::test]
async fn a_body_at_the_limit_passes_unchanged() {
    let mut scene = Scene::new(Limits::default()).await;
    let (mut stream, id) = scene.running().await;
    let body = vec![b'y'; RESPONSE_LIMIT];
    stream.write_all(post(id, body.len()).as_bytes()).await.unwrap();
    let sent = body.clone();
    let writer = tokio::spawn(async move {
        stream.write_all(&sent).await.unwrap();
        answer(&mut stream).await.0
    });
    scene.take().await;
    assert_eq!(soon(writer).await.unwrap(), 202);
    assert_eq!(scene.settled[&id], Outcome::Success { payload: body.into() });
}

#[tokio::test]
async fn a_body_that_ends_early_is_truncated() {
    for abort in [false, true] {
        let mut scene = Scene::new(Limits::default()).await;
        let (mut stream, id) = scene.running().await;
        stream.write_all(post(id, 100).as_bytes()).await.unwrap();
        stream.write_all(b"only this").await.unwrap();
        if abort {
            drop(stream);
            scene.take().await;
        } else {
            stream.shutdown().await.unwrap();
            scene.take().await;
            let (status, text) = answer(&mut stream).await;
            assert_eq!(status, 400, "{text}");
            assert!(text.contains("TruncatedHTTPRequest"));
        }
        assert_eq!(scene.settled[&id], Outcome::Failed(Failure::TruncatedResponse));
    }
}

#[tokio::test]
async fn connections_over_the_limit_are_closed_and_room_comes_back() {
    let scene = Scene::new(Limits { connections: 2, ..Limits::default() }).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = scene.connect().await;
        stream.write_all(b"GET /2018-06-01/ping HTTP/1.1\r\nHost: r\r\n\r\n").await.unwrap();
        assert_eq!(answer(&mut stream).await.0, 200);
        held.push(stream);
    }
    assert!(is_closed(&mut scene.connect().await).await);
    held.pop();
    // The server learns of the closed one in its own time.
    for attempt in 0.. {
        let mut stream = scene.connect().await;
        let sent = stream.write_all(b"GET /2018-06-01/ping HTTP/1.1\r\nHost: r\r\n\r\n").await;
        let mut byte = [0];
        if sent.is_ok() && matches!(soon(stream.read(&mut byte)).await, Ok(1)) {
            break;
        }
        assert!(attempt < 10_000, "room comes back");
    }
}

#[tokio::test]
async fn headers_are_bounded_and_those_of_official_clients_pass() {
    let mut scene = Scene::new(Limits::default()).await;
    let (mut stream, id) = scene.running().await;
    let cause = "x".repeat(65_536);
    let request = post(id, 2)
        .replace("/response", "/error")
        .replace("Host: r", &format!("Host: r\r\nLambda-Runtime-Function-XRay-Error-Cause: {cause}"));
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.write_all(b"{}").await.unwrap();
    scene.take().await;
    assert_eq!(answer(&mut stream).await.0, 202);
    let many: String = (0..100).map(|number| format!("x-{number}: 1\r\n")).collect();
    let mut stream = scene.connect().await;
    stream
        .write_all(format!("GET /2018-06-01/ping HTTP/1.1\r\nHost: r\r\n{many}\r\n").as_bytes())
        .await
        .unwrap();
    assert_eq!(answer(&mut stream).await.0, 431);
    let mut stream = scene.connect().await;
    let long = format!("GET /2018-06-01/ping HTTP/1.1\r\nHost: r\r\nx: {}\r\n\r\n", "y".repeat(300 * 1024));
    // The server may close before it has read all of it.
    let _ = stream.write_all(long.as_bytes()).await;
    let mut text = Vec::new();
    let _ = soon(stream.read_to_end(&mut text)).await;
    assert!(!String::from_utf8_lossy(&text).contains("pong"));
}

#[tokio::test]
async fn bodies_together_are_bounded() {
    let limits = Limits { body_bytes: 1000, bodies_bytes: 1500, ..Limits::default() };
    let mut scene = Scene::new(limits).await;
    let (mut first, id) = scene.running().await;
    let mut second = scene.connect().await;
    // The first is read to its end and then waits for the owner, holding its share.
    first.write_all(post(id, 1000).as_bytes()).await.unwrap();
    first.write_all(&[b'1'; 1000]).await.unwrap();
    let arrival = soon(scene.arrivals.recv()).await.unwrap();
    second.write_all(post(id, 1000).as_bytes()).await.unwrap();
    second.write_all(&[b'2'; 1000]).await.unwrap();
    assert_eq!(answer(&mut second).await.0, 500);
    let event = scene.desk.accept(arrival);
    scene.step(event);
    assert_eq!(answer(&mut first).await.0, 202);
}

#[tokio::test]
async fn an_event_for_a_connection_that_went_away_goes_to_the_next_poll() {
    let mut scene = Scene::new(Limits::default()).await;
    let mut gone = scene.connect().await;
    gone.write_all(NEXT.as_bytes()).await.unwrap();
    scene.take().await;
    drop(gone);
    let mut stream = scene.connect().await;
    let id = scene.deliver();
    stream.write_all(NEXT.as_bytes()).await.unwrap();
    scene.take().await;
    let (status, text) = answer(&mut stream).await;
    assert_eq!(status, 200);
    assert!(text.contains(&id.to_string()));
}

#[tokio::test]
async fn the_end_of_the_owner_closes_every_connection() {
    let mut scene = Scene::new(Limits::default()).await;
    let mut parked = scene.connect().await;
    parked.write_all(NEXT.as_bytes()).await.unwrap();
    scene.take().await;
    let mut idle = scene.connect().await;
    idle.write_all(b"GET /2018-06-01/ping HTTP/1.1\r\nHost: r\r\n\r\n").await.unwrap();
    assert_eq!(answer(&mut idle).await.0, 200);
    drop(scene);
    assert!(is_closed(&mut parked).await);
    assert!(is_closed(&mut idle).await);
}

#[tokio::test]
async fn a_call_of_a_dying_process_is_closed_without_an_answer() {
    let mut scene = Scene::new(Limits::default()).await;
    let (mut stream, _) = scene.running().await;
    scene.step(Event::Shutdown);
    stream.write_all(NEXT.as_bytes()).await.unwrap();
    scene.take().await;
    assert!(is_closed(&mut stream).await);
}

#[tokio::test]
async fn an_environment_without_places_in_the_pool_has_one_connection_and_is_served_on_it() {
    let pool = Arc::new(Semaphore::new(1));
    let mut one = Scene::sharing(Limits::default(), Arc::clone(&pool)).await;
    let mut two = Scene::sharing(Limits::default(), Arc::clone(&pool)).await;
    let (mut first, _) = one.running().await;
    let mut second = one.connect().await;
    second.write_all(b"GET /2018-06-01/ping HTTP/1.1\r\nHost: r\r\n\r\n").await.expect("the loopback works");
    assert_eq!(answer(&mut second).await.0, 200, "the pool's only place");
    let (_other, _) = two.running().await;
    let mut third = two.connect().await;
    assert_eq!(soon(third.read(&mut [0; 1])).await.unwrap_or(0), 0, "closed at once");
    drop(second);
    soon(async {
        while pool.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut fourth = two.connect().await;
    fourth.write_all(b"GET /2018-06-01/ping HTTP/1.1\r\nHost: r\r\n\r\n").await.expect("the loopback works");
    assert_eq!(answer(&mut fourth).await.0, 200, "the place is free again");
    first.write_all(NEXT.as_bytes()).await.expect("the loopback works");
    one.take().await;
}
