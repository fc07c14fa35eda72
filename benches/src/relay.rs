//! The comparator of the warm rows, a process of its own: the least that can stand between a client and a runtime.
//!
//! A client's POST becomes the answer of a runtime's parked `next`; what the runtime posts becomes the client's
//! answer. hyper and tokio as Hearth uses them, and nothing else: no authentication, no limits, no logs, no records,
//! no isolation. With `--echo` the client's body comes straight back. Prints its addresses on one line when ready.

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Clients that wait for a runtime, at most.
const WAITING_MAX: usize = 4096;

type Echo = http_body_util::Collected<Bytes>;
type Answer = Response<Either<Full<Bytes>, Echo>>;

/// One event on its way to a runtime.
struct Event {
    id: u64,
    payload: Bytes,
}

/// Who waits for whom.
#[derive(Default)]
struct Queues {
    parked: Vec<oneshot::Sender<Event>>,
    waiting: VecDeque<Event>,
    callers: HashMap<u64, oneshot::Sender<Bytes>>,
    last_id: u64,
}

#[derive(Default)]
struct Hub(Mutex<Queues>);

impl Hub {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands the payload to a runtime; `None` when too many wait already.
    fn offer(&self, payload: Bytes) -> Option<oneshot::Receiver<Bytes>> {
        let (caller, answer) = oneshot::channel();
        let mut queues = self.queues();
        if queues.waiting.len() >= WAITING_MAX {
            return None;
        }
        queues.last_id += 1;
        let id = queues.last_id;
        queues.callers.insert(id, caller);
        let mut event = Event { id, payload };
        while let Some(runtime) = queues.parked.pop() {
            match runtime.send(event) {
                Ok(()) => return Some(answer),
                Err(refused) => event = refused,
            }
        }
        queues.waiting.push_back(event);
        Some(answer)
    }

    /// An event for a runtime that asks for one.
    fn park(&self) -> oneshot::Receiver<Event> {
        let (sender, receiver) = oneshot::channel();
        let mut queues = self.queues();
        match queues.waiting.pop_front() {
            Some(event) => {
                if let Err(event) = sender.send(event) {
                    queues.waiting.push_front(event);
                }
            }
            None => queues.parked.push(sender),
        }
        receiver
    }

    /// What a runtime posted; false when nobody asked for it.
    fn settle(&self, id: u64, body: Bytes) -> bool {
        let caller = self.queues().callers.remove(&id);
        caller.is_some_and(|caller| caller.send(body).is_ok())
    }
}

fn plain(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(body.into())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

async fn client(hub: Arc<Hub>, request: Request<Incoming>) -> Result<Answer, io::Error> {
    let payload = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    let Some(answer) = hub.offer(payload) else {
        return Ok(plain(StatusCode::SERVICE_UNAVAILABLE, Bytes::new()));
    };
    Ok(plain(StatusCode::OK, answer.await.map_err(io::Error::other)?))
}

async fn echo(request: Request<Incoming>) -> Result<Answer, io::Error> {
    let length = request
        .headers()
        .get(CONTENT_LENGTH)
        .cloned()
        .ok_or_else(|| io::Error::other("a body without a length"))?;
    // Collected before the first byte goes back, as any Invoke must be; but never joined into one piece.
    let mut answer =
        Response::new(Either::Right(request.into_body().collect().await.map_err(io::Error::other)?));
    answer.headers_mut().insert(CONTENT_LENGTH, length);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(answer)
}

async fn runtime(hub: Arc<Hub>, request: Request<Incoming>) -> Result<Answer, io::Error> {
    if request.method() == Method::GET {
        let event = hub.park().await.map_err(io::Error::other)?;
        let mut answer = plain(StatusCode::OK, event.payload);
        answer.headers_mut().insert("lambda-runtime-aws-request-id", HeaderValue::from(event.id));
        return Ok(answer);
    }
    let id = request.uri().path().rsplit('/').nth(1).and_then(|id| id.parse().ok());
    let id = id.ok_or_else(|| io::Error::other("a path without a request id"))?;
    let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    if !hub.settle(id, body) {
        return Ok(plain(StatusCode::BAD_REQUEST, "{\"errorType\":\"InvalidRequestID\"}"));
    }
    Ok(plain(StatusCode::ACCEPTED, "{\"status\":\"OK\"}"))
}

/// Which side of the relay a listener is.
#[derive(Clone, Copy)]
enum Door {
    Client,
    Echo,
    Runtime,
}

async fn connection(door: Door, hub: Arc<Hub>, stream: TcpStream) {
    let service = service_fn(move |request| {
        let hub = Arc::clone(&hub);
        async move {
            match door {
                Door::Client => client(hub, request).await,
                Door::Echo => echo(request).await,
                Door::Runtime => runtime(hub, request).await,
            }
        }
    });
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
        // Clients and runtimes are killed at the end of each row; that is no news.
        if !error.is_incomplete_message() && !error.is_closed() && !error.is_canceled() {
            eprintln!("relay: {error}");
        }
    }
}

async fn listen(door: Door, hub: Arc<Hub>, listener: TcpListener) -> Result<(), io::Error> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(connection(door, Arc::clone(&hub), stream));
    }
}

#[tokio::main]
async fn main() -> Result<(), io::Error> {
    // Nobody is left to stop this process when its parent is gone.
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM)?;
    let echoes = std::env::args().nth(1).is_some_and(|argument| argument == "--echo");
    let clients = TcpListener::bind("127.0.0.1:0").await?;
    let runtimes = TcpListener::bind("127.0.0.1:0").await?;
    println!("relay: clients {} runtimes {}", clients.local_addr()?, runtimes.local_addr()?);
    std::io::stdout().flush()?;
    let hub = Arc::new(Hub::default());
    let door = if echoes { Door::Echo } else { Door::Client };
    let runtimes = tokio::spawn(listen(Door::Runtime, Arc::clone(&hub), runtimes));
    listen(door, hub, clients).await?;
    runtimes.await?
}
