//! Brings a package from an object store into the store of packages: streamed to disk, bounded, checked, tried again.
//!
//! Never holds more than a few pieces in memory. A fetch that is given up at any moment leaves nothing on disk. Whether
//! the bytes are a package is not judged here.

use crate::aws::credentials::Chain;
use crate::aws::endpoint::Endpoint;
use crate::aws::http::{Web, WebError};
use crate::aws::s3::{Download, Object, S3, S3Error, Sums};
use crate::aws::surroundings::Surroundings;
use crate::config::Endpoints;
use crate::daemon::random;
use crate::store::{BlobError, Blobs, Incoming};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::Crc;
use md5::{Digest as _, Md5};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// Bytes of a package that is fetched. AWS bounds what it unpacks to, and a larger one would not fit that.
pub(crate) const FETCHED_MAX: u64 = crate::store::UNZIPPED_MAX;
/// Packages that are fetched at once.
const FETCHES_MAX: usize = 4;
/// Tries of one fetch.
const TRIES_MAX: u32 = 3;
/// The pause after the first try; twice as long after each further one, and up to half of it more by chance.
const PAUSE: Duration = Duration::from_millis(200);
/// All of a fetch, waiting for its turn included.
const FETCH_MAX: Duration = Duration::from_secs(300);
/// Pieces between the network and the disk.
const PIECES: usize = 8;

/// Fetches packages.
pub(crate) struct Fetcher {
    s3: S3,
    /// For messages.
    endpoint: String,
    blobs: Blobs,
    turns: Semaphore,
}

/// Why a package was not fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The store, or the way to it.
    #[error(transparent)]
    S3(#[from] S3Error),
    /// It broke off.
    #[error("{0} broke off: {1}")]
    BrokeOff(Object, WebError),
    /// Larger than any package may be.
    #[error("{0} is larger than {FETCHED_MAX} bytes")]
    TooLarge(Object),
    /// Other bytes than the store says it has.
    #[error("what arrived of {object} has another {sum} than the store says")]
    Differs {
        /// Which.
        object: Object,
        /// Which sum.
        sum: &'static str,
    },
    /// This machine's disk.
    #[error(transparent)]
    Disk(#[from] BlobError),
    /// Too slow altogether.
    #[error("{0} did not arrive within {s} s", s = FETCH_MAX.as_secs())]
    TooLong(Object),
    /// A bug: a task ended by itself.
    #[error("a task of the fetch ended: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl FetchError {
    fn may_pass(&self) -> bool {
        match self {
            Self::S3(error) => error.may_pass(),
            Self::BrokeOff(..) | Self::Differs { .. } => true,
            Self::TooLarge(_) | Self::Disk(_) | Self::TooLong(_) | Self::Task(_) => false,
        }
    }
}

/// What arrived.
struct Arrived {
    incoming: Incoming,
    md5: [u8; 16],
    crc32: u32,
}

impl Fetcher {
    /// From the configuration and what was gathered while the daemon could read it. The error is for the operator.
    pub(crate) fn new(
        endpoints: &Endpoints,
        region: &str,
        surroundings: Surroundings,
        blobs: Blobs,
    ) -> Result<Self, String> {
        let standard = surroundings.endpoint(["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])?;
        let endpoint = endpoints.s3.clone().or(standard);
        let sts = surroundings.endpoint(["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"])?;
        let sts = sts.unwrap_or_else(|| Endpoint::https(&format!("sts.{region}.amazonaws.com")));
        let web = Web::new(surroundings.file_of("AWS_CA_BUNDLE"));
        let chain = Chain::new(surroundings, web.clone(), sts);
        let named = endpoint.as_ref().map_or_else(|| "Amazon S3".to_owned(), Endpoint::to_string);
        let patience = Duration::from_secs(endpoints.timeout_s);
        let s3 = S3::new(web, chain, endpoint, (endpoints.s3_addressing, region), patience);
        Ok(Self { s3, endpoint: named, blobs, turns: Semaphore::new(FETCHES_MAX) })
    }

    /// Where objects are looked for.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Fetches an object as a whole, its sums checked.
    pub(crate) async fn fetch(&self, object: &Object) -> Result<Incoming, FetchError> {
        let all = async {
            // Never closed, so that there is always a turn.
            let _turn = self.turns.acquire().await;
            let mut pause = PAUSE;
            for _ in 1..TRIES_MAX {
                match self.attempt(object).await {
                    Err(error) if error.may_pass() => {
                        tracing::warn!(%object, %error, "fetching a package failed; trying again");
                    }
                    done => return done,
                }
                let [chance] = random::bytes::<1>();
                tokio::time::sleep(pause + pause / 2 * u32::from(chance) / 255).await;
                pause *= 2;
            }
            self.attempt(object).await
        };
        tokio::time::timeout(FETCH_MAX, all)
            .await
            .unwrap_or_else(|_| Err(FetchError::TooLong(object.clone())))
    }

    async fn attempt(&self, object: &Object) -> Result<Incoming, FetchError> {
        let download = self.s3.get(object).await?;
        if download.length.is_some_and(|length| length > FETCHED_MAX) {
            return Err(FetchError::TooLarge(object.clone()));
        }
        let sums = download.sums.clone();
        let (pieces, arriving) = mpsc::channel(PIECES);
        let blobs = self.blobs.clone();
        let writer = tokio::task::spawn_blocking(move || write_down(&blobs, arriving));
        let relayed = relay(download, pieces, object).await;
        // The disk's error explains why nobody took the pieces any more.
        let arrived = writer.await??;
        relayed?;
        compare(&arrived, &sums, object)?;
        Ok(arrived.incoming)
    }
}

/// From the network to the writer, until the end, an error, or more than there may be.
async fn relay(
    mut download: Download,
    pieces: mpsc::Sender<Bytes>,
    object: &Object,
) -> Result<(), FetchError> {
    let mut size = 0_u64;
    loop {
        let next = download.next().await;
        let Some(piece) = next.map_err(|error| FetchError::BrokeOff(object.clone(), error))? else {
            return Ok(());
        };
        size += piece.len() as u64;
        if size > FETCHED_MAX {
            return Err(FetchError::TooLarge(object.clone()));
        }
        if pieces.send(piece).await.is_err() {
            return Ok(()); // the writer ended, and says why
        }
    }
}

fn write_down(blobs: &Blobs, mut arriving: mpsc::Receiver<Bytes>) -> Result<Arrived, BlobError> {
    let mut incoming = blobs.receive()?;
    let (mut md5, mut crc32) = (Md5::new(), Crc::new());
    while let Some(piece) = arriving.blocking_recv() {
        incoming.write(&piece)?;
        md5.update(&piece);
        crc32.update(&piece);
    }
    Ok(Arrived { incoming, md5: md5.finalize().into(), crc32: crc32.sum() })
}

fn compare(arrived: &Arrived, sums: &Sums, object: &Object) -> Result<(), FetchError> {
    let md5: String = arrived.md5.iter().map(|byte| format!("{byte:02x}")).collect();
    let found = [
        ("SHA-256", &sums.sha256, STANDARD.encode(arrived.incoming.digest().0)),
        ("CRC-32", &sums.crc32, STANDARD.encode(arrived.crc32.to_be_bytes())),
        ("MD5 (ETag)", &sums.md5, md5),
    ];
    let wrong = found.iter().find(|(_, said, found)| said.as_ref().is_some_and(|said| said != found));
    wrong.map_or(Ok(()), |(sum, ..)| Err(FetchError::Differs { object: object.clone(), sum }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::s3::Addressing;
    use crate::store::tests::Fixture;
    use std::path::PathBuf;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const HALF: usize = 100_000;

    /// A fetcher whose store sends half an object and then nothing, and the directory of what arrives.
    async fn stalled(fixture: &Fixture) -> (Fetcher, PathBuf) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let endpoint = Endpoint::parse(&format!("http://{}", listener.local_addr().expect("bound")));
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let _read = stream.read(&mut [0; 4096]).await.expect("reads");
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 2 * HALF);
                stream.write_all(head.as_bytes()).await.expect("writes");
                stream.write_all(&[0; HALF]).await.expect("writes");
                open.push(stream);
            }
        });
        let endpoints = Endpoints { s3: endpoint, s3_addressing: Addressing::Auto, timeout_s: 300 };
        let around = Surroundings::new([("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned())]);
        let fetcher =
            Fetcher::new(&endpoints, "us-east-1", around, fixture.blobs.clone()).expect("a fetcher");
        (fetcher, fixture.scratch.path().join("blobs/tmp"))
    }

    async fn until(condition: impl Fn() -> bool) {
        for _ in 0..1_500 {
            if condition() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("not within half a minute");
    }

    #[tokio::test]
    async fn a_fetch_that_is_given_up_leaves_nothing() {
        let fixture = Fixture::new();
        let (fetcher, arriving) = stalled(&fixture).await;
        let object = Object { bucket: "b".into(), key: "k".into(), version: None };
        let fetch = tokio::spawn(async move { fetcher.fetch(&object).await.map(drop) });
        let sizes = || -> Vec<u64> {
            let entries = std::fs::read_dir(&arriving).expect("there").flatten();
            entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).collect()
        };
        until(|| sizes() == [HALF as u64]).await;
        fetch.abort();
        until(|| sizes().is_empty()).await;
        assert!(fetch.await.expect_err("given up").is_cancelled());
    }
}
