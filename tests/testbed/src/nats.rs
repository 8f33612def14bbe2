//! NATS with JetStream: the program that is built beside the control plane, alone or as a cluster.
//!
//! The nodes of a cluster have addresses of loopback of their own (127.0.0.1, .2, .3) and the same ports, as pods have.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::part::{Part, Program};
use crate::port::Port;
use crate::programs::nats_server;
use crate::run::Run;

const START_WITHIN: Duration = Duration::from_secs(30);

/// Servers that are one. They stop when dropped.
pub struct Nats {
    // Dropped in this order: the servers, then their ports and the folder.
    nodes: Vec<NatsNode>,
    _ports: Ports,
    _run: Run,
}

/// One server.
pub struct NatsNode {
    part: Part,
    clients: SocketAddr,
    monitoring: SocketAddr,
}

struct Ports {
    clients: Port,
    monitoring: Port,
    routes: Port,
}

impl Nats {
    /// Starts so many servers, and waits until JetStream has a leader: one alone, or a cluster of three and more.
    pub async fn start(size: u8) -> Result<Self> {
        let path = tokio::task::spawn_blocking(nats_server).await??;
        let run = Run::open("nats")?;
        let ports = Ports { clients: Port::book()?, monitoring: Port::book()?, routes: Port::book()? };
        let address = |nth: u8, port: &Port| SocketAddr::from((Ipv4Addr::new(127, 0, 0, nth), port.number));
        let routes: Vec<String> = (1..=size).map(|nth| format!("\"nats://{}\"", address(nth, &ports.routes))).collect();
        let mut nodes = Vec::new();
        for nth in 1..=size {
            let (clients, monitoring) = (address(nth, &ports.clients), address(nth, &ports.monitoring));
            let folder = run.subfolder(&format!("data-{nth}"))?;
            let mut settings = format!(
                "server_name: node-{nth}\nlisten: \"{clients}\"\nhttp: \"{monitoring}\"\njetstream {{ store_dir: \"{}\", max_file_store: 256MB }}\n",
                folder.display()
            );
            if size > 1 {
                settings +=
                    &format!("cluster {{ name: testbed, listen: \"{}\", routes: [{}] }}\n", address(nth, &ports.routes), routes.join(", "));
            }
            let file = run.write(&format!("node-{nth}.conf"), settings)?;
            let arguments = vec!["-c".to_owned(), file.display().to_string()];
            let program = Program { name: "nats-server", path: path.clone(), arguments, environment: Vec::new() };
            nodes.push(NatsNode { part: Part::start(&run, &program)?, clients, monitoring });
        }
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
        for NatsNode { part, monitoring, .. } in &mut nodes {
            // As what waits for a server in a cluster asks: with JetStream, it is well once it has found the others.
            let health = format!("http://{monitoring}/healthz");
            part.until_ready(START_WITHIN, async || client.get(&health).send().await.is_ok_and(|answer| answer.status().is_success()))
                .await?;
        }
        Ok(Self { nodes, _ports: ports, _run: run })
    }

    /// The servers; the first is at 127.0.0.1.
    pub fn nodes(&self) -> &[NatsNode] {
        &self.nodes
    }

    /// The server that calls itself so.
    pub fn named(&self, name: &str) -> Result<&NatsNode> {
        let nth = name.strip_prefix("node-").and_then(|nth| nth.parse::<usize>().ok()).and_then(|nth| nth.checked_sub(1));
        nth.and_then(|nth| self.nodes.get(nth)).with_context(|| format!("there is no node {name:?}"))
    }
}

impl NatsNode {
    /// Where clients connect to.
    pub fn clients(&self) -> SocketAddr {
        self.clients
    }

    /// Where its monitoring interface is.
    pub fn monitoring(&self) -> SocketAddr {
        self.monitoring
    }

    /// Makes it hang: it keeps its connections and answers nothing.
    pub fn pause(&self) -> Result<()> {
        self.part.pause()
    }

    /// Lets a paused server go on.
    pub fn resume(&self) -> Result<()> {
        self.part.resume()
    }

    /// Ends it at once.
    pub fn kill(&self) {
        self.part.kill();
    }
}
