//! Connections against real sockets on the loopback: places, ends, and bodies within a budget.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// After so long something waits for ever.
const PATIENCE: Duration = Duration::from_secs(60);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n";

struct Scene {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    served: tokio::task::JoinHandle<()>,
}

async fn scene(limits: Limits) -> Scene {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("has one");
    let (stop, stopped) = watch::channel(false);
    let handler = |_: Request<Incoming>| async { Response::new(full("here")) };
    let served = tokio::spawn(serve(Listener::Tcp(listener), Arc::new(handler), limits, stopped));
    Scene { address, stop, served }
}

async fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(REQUEST).await.expect("writes");
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await.expect("is answered");
    String::from_utf8_lossy(&answer[..read.unwrap_or(0)]).into_owned()
}

#[tokio::test]
async fn a_full_listener_serves_those_who_wait_when_a_place_is_free_and_stops_when_told_to() {
    let Scene { address, stop, served } = scene(Limits::of(1)).await;
    let mut first = TcpStream::connect(address).await.expect("connects");
    assert!(ask(&mut first).await.starts_with("HTTP/1.1 200"));
    let mut second = TcpStream::connect(address).await.expect("waits in the queue");
    second.write_all(REQUEST).await.expect("fits the queue");
    drop(first);
    let mut answer = [0; 12];
    let read = second.read_exact(&mut answer);
    tokio::time::timeout(PATIENCE, read).await.expect("its turn comes").expect("is answered");
    let _third = TcpStream::connect(address).await.expect("waits in the queue");
    stop.send(true).expect("it listens");
    tokio::time::timeout(PATIENCE, served).await.expect("ends although it is full").expect("ends well");
}

#[tokio::test]
async fn where_places_are_shared_the_first_connection_needs_none() {
    let pool = Arc::new(Semaphore::new(1));
    let limits = Limits { connections: 8, pool: Some(Arc::clone(&pool)) };
    let (one, two) = (scene(limits.clone()).await, scene(limits).await);
    let mut held = Vec::new();
    for address in [one.address, one.address, two.address] {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
        held.push(stream);
    }
    let mut refused = TcpStream::connect(two.address).await.expect("is accepted by the kernel");
    assert_eq!(ask(&mut refused).await, "", "closed without an answer");
    drop(held.remove(1));
    tokio::time::timeout(PATIENCE, async {
        while pool.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the place comes back");
    let mut again = TcpStream::connect(two.address).await.expect("connects");
    assert!(ask(&mut again).await.starts_with("HTTP/1.1 200"));
}
