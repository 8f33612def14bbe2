//! A TCP proxy on loopback that delays, cuts and refuses: the network's faults, one hop before a broker or a server.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// How much may be under way in one direction; beyond it the sender waits, as on a real line.
const UNDER_WAY: usize = 256;

/// A proxy; it closes when dropped.
pub struct TcpProxy {
    address: SocketAddr,
    state: Arc<watch::Sender<Line>>,
    accepting: JoinHandle<()>,
}

/// What the line is like at present.
#[derive(Clone, Debug, Default)]
struct Line {
    delay: Duration,
    is_closed: bool,
    /// Connections of an earlier number are cut.
    cuts: u64,
}

impl TcpProxy {
    /// Listens on a free port and passes everything on to `upstream`.
    pub async fn start(upstream: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen on 127.0.0.1")?;
        let address = listener.local_addr()?;
        let state = Arc::new(watch::Sender::new(Line::default()));
        let accepting = tokio::spawn(accept(listener, upstream, Arc::clone(&state)));
        Ok(Self { address, state, accepting })
    }

    /// Where to connect instead of to the upstream.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Delays everything that passes from now on, in each direction.
    pub fn delay(&self, delay: Duration) {
        self.state.send_modify(|line| line.delay = delay);
    }

    /// Cuts the connections that are open now; new ones are accepted.
    pub fn cut(&self) {
        self.state.send_modify(|line| line.cuts += 1);
    }

    /// Cuts all connections, and each new one at once, until `open`.
    pub fn close(&self) {
        self.state.send_modify(|line| {
            line.is_closed = true;
            line.cuts += 1;
        });
    }

    /// Lets connections through again.
    pub fn open(&self) {
        self.state.send_modify(|line| line.is_closed = false);
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.close();
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, state: Arc<watch::Sender<Line>>) {
    while let Ok((client, _)) = listener.accept().await {
        if !state.borrow().is_closed {
            tokio::spawn(connect(client, upstream, state.subscribe()));
        }
    }
}

async fn connect(client: TcpStream, upstream: SocketAddr, state: watch::Receiver<Line>) {
    let cuts = state.borrow().cuts;
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    // A proxy that gathers small packets would add a delay that nobody asked for.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut lines = state.clone();
    tokio::select! {
        _ = lines.wait_for(|line| line.cuts > cuts) => {}
        _ = futures::future::join(pass(from_client, to_server, state.clone()), pass(from_server, to_client, state)) => {}
    }
}

/// Passes on what is read, each piece when its delay is over, in order.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, state: watch::Receiver<Line>) {
    let mut under_way: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut buffer = vec![0; 16 * 1024];
    let mut is_open = true;
    while is_open || !under_way.is_empty() {
        let due = under_way.front().map(|(due, _)| *due);
        tokio::select! {
            read = from.read(&mut buffer), if is_open && under_way.len() < UNDER_WAY => match read {
                Ok(0) | Err(_) => is_open = false,
                Ok(length) => under_way.push_back((Instant::now() + state.borrow().delay, buffer[..length].to_vec())),
            },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                if let Some((_, piece)) = under_way.pop_front()
                    && to.write_all(&piece).await.is_err()
                {
                    return;
                }
            }
        }
    }
    // The other side learns that nothing more comes; it may still send.
    let _ = to.shutdown().await;
}
