//! The relay for name queries of one environment: from the sockets inside its sandbox to the resolvers of this host.
//!
//! A sandbox cannot reach the host, and resolvers often listen only there (`127.0.0.53`). Queries are passed on as they
//! are and nothing is remembered, so that no function learns what another has asked for. Queries, sizes and times are
//! bounded per environment; beyond that queries are dropped, as a network would.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Queries of one environment on their way at once.
const QUERIES_MAX: usize = 64;
/// Open TCP connections of one environment.
const CONNECTIONS_MAX: usize = 8;
/// A resolver that has not answered by then is given up, and the next one asked.
const PATIENCE: Duration = Duration::from_secs(3);
/// A TCP connection without a query is closed after this.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// Bytes of a message over UDP: what EDNS allows in practice and more.
const DATAGRAM_MAX: usize = 4096;
/// Bytes of a header; shorter is no query.
const HEADER: usize = 12;

/// The two sockets inside.
pub(crate) struct Names {
    /// Over UDP.
    pub(crate) udp: UdpSocket,
    /// Over TCP.
    pub(crate) tcp: TcpListener,
}

/// Serves until dropped.
pub(crate) async fn serve(names: Names, resolvers: Arc<[SocketAddr]>) {
    let Names { udp, tcp } = names;
    let udp = Arc::new(udp);
    tokio::join!(serve_udp(udp, Arc::clone(&resolvers)), serve_tcp(tcp, resolvers));
}

async fn serve_udp(socket: Arc<UdpSocket>, resolvers: Arc<[SocketAddr]>) {
    let places = Arc::new(Semaphore::new(QUERIES_MAX));
    let mut queries = JoinSet::new();
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        tokio::select! {
            received = socket.recv_from(&mut buffer) => {
                // An earlier answer that its asker did not wait for comes back as an error.
                let Ok((length, asker)) = received else { continue };
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                if length < HEADER {
                    continue;
                }
                let (query, socket, resolvers) = (buffer[..length].to_vec(), Arc::clone(&socket), Arc::clone(&resolvers));
                queries.spawn(async move {
                    let answer = ask_all(&query, &resolvers).await.unwrap_or_else(|| failure(&query));
                    // Whoever asked may have left.
                    socket.send_to(&answer, asker).await.ok();
                    drop(place);
                });
            }
            Some(_) = queries.join_next() => {}
        }
    }
}

/// The first answer of a resolver, in their order.
async fn ask_all(query: &[u8], resolvers: &[SocketAddr]) -> Option<Vec<u8>> {
    for resolver in resolvers {
        if let Ok(Ok(answer)) = tokio::time::timeout(PATIENCE, ask(query, *resolver)).await {
            return Some(answer);
        }
    }
    None
}

/// One query from a socket of its own, so that its port is as hard to guess as the kernel makes it.
async fn ask(query: &[u8], resolver: SocketAddr) -> std::io::Result<Vec<u8>> {
    let local = if resolver.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(resolver).await?;
    socket.send(query).await?;
    let mut answer = vec![0; DATAGRAM_MAX];
    loop {
        let length = socket.recv(&mut answer).await?;
        if length >= HEADER && answer[..2] == query[..2] {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

/// SERVFAIL: the query's header and question with the answer's flags (RFC 1035 §4.1.1).
fn failure(query: &[u8]) -> Vec<u8> {
    let mut answer = query.to_vec();
    answer[2] |= 0x80;
    answer[3] = 0x80 | 2;
    // No records follow the question.
    answer[6..HEADER].fill(0);
    answer
}

async fn serve_tcp(listener: TcpListener, resolvers: Arc<[SocketAddr]>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(_) if connections.len() >= CONNECTIONS_MAX => {}
                Ok((stream, _)) => {
                    let resolvers = Arc::clone(&resolvers);
                    connections.spawn(async move { converse(stream, &resolvers).await.ok() });
                }
                // Out of descriptors, for a moment.
                Err(_) => tokio::time::sleep(PATIENCE / 10).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(mut asker: TcpStream, resolvers: &[SocketAddr]) -> std::io::Result<()> {
    loop {
        let query = tokio::time::timeout(IDLE_MAX, read_message(&mut asker)).await??;
        let mut answer = None;
        for resolver in resolvers {
            let exchange = async {
                let mut stream = TcpStream::connect(resolver).await?;
                write_message(&mut stream, &query).await?;
                read_message(&mut stream).await
            };
            if let Ok(Ok(message)) = tokio::time::timeout(PATIENCE, exchange).await {
                answer = Some(message);
                break;
            }
        }
        let answer = answer.unwrap_or_else(|| failure(&query));
        tokio::time::timeout(IDLE_MAX, write_message(&mut asker, &answer)).await??;
    }
}

/// A message after its length in two bytes.
async fn read_message(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length < HEADER {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn write_message(stream: &mut TcpStream, message: &[u8]) -> std::io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| std::io::ErrorKind::InvalidData)?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(message);
    stream.write_all(&bytes).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01";

    async fn relay(resolvers: Vec<SocketAddr>) -> (SocketAddr, SocketAddr) {
        let udp = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let addresses = (udp.local_addr().expect("bound"), tcp.local_addr().expect("bound"));
        tokio::spawn(serve(Names { udp, tcp }, resolvers.into()));
        addresses
    }

    async fn asked(relay: SocketAddr) -> Vec<u8> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
        socket.send_to(QUERY, relay).await.expect("sends");
        let mut answer = vec![0; DATAGRAM_MAX];
        let length = socket.recv(&mut answer).await.expect("answered");
        answer.truncate(length);
        answer
    }

    #[tokio::test]
    async fn a_query_reaches_the_resolver_as_it_is_and_its_answer_comes_back() {
        let resolver = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
        let address = resolver.local_addr().expect("bound");
        tokio::spawn(async move {
            let mut buffer = vec![0; DATAGRAM_MAX];
            let (length, from) = resolver.recv_from(&mut buffer).await.expect("asked");
            assert_eq!(&buffer[..length], QUERY);
            // One with another id is not an answer to this.
            resolver.send_to(b"\0\0forged-forged", from).await.expect("sends");
            resolver.send_to(b"\x12\x34answer-bytes", from).await.expect("sends");
        });
        let (udp, _) = relay(vec![address]).await;
        assert_eq!(asked(udp).await, b"\x12\x34answer-bytes");
    }

    #[tokio::test]
    async fn without_a_resolver_that_answers_the_query_fails() {
        let (udp, _) = relay(Vec::new()).await;
        let answer = asked(udp).await;
        assert_eq!((&answer[..2], answer[2] & 0x80, answer[3] & 0x0F), (&QUERY[..2], 0x80, 2));
        assert_eq!(answer[4..6], [0, 1], "the question is still there");
    }

    #[tokio::test]
    async fn long_answers_come_over_tcp() {
        let resolver = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = resolver.local_addr().expect("bound");
        let long = [QUERY, &[7; 20_000]].concat();
        let sent = long.clone();
        tokio::spawn(async move {
            let (mut stream, _) = resolver.accept().await.expect("accepts");
            assert_eq!(read_message(&mut stream).await.expect("asked"), QUERY);
            write_message(&mut stream, &sent).await.expect("answers");
        });
        let (_, tcp) = relay(vec![address]).await;
        let mut stream = TcpStream::connect(tcp).await.expect("connects");
        write_message(&mut stream, QUERY).await.expect("asks");
        assert_eq!(read_message(&mut stream).await.expect("answered"), long);
    }
}
