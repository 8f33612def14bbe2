//! A fleet and a publisher with a real RabbitMQ, which is killed and started again while messages are held.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use springtide_worker::{
    Amqp, BrokerUrl, Event, Fleet, FleetOptions, Happening, Pod, PodEvent, PublishOptions, Publisher, Stage, pods_by_hand,
};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

const SERVICE: Duration = Duration::from_millis(500);
/// RabbitMQ takes about seven seconds to start; a machine with others at work takes longer.
const START: Duration = Duration::from_secs(90);

/// A broker with a folder, a node name and ports of its own, which ends with the test. Debian's script in the path wants to be another user, so the
/// one behind it is called.
struct RabbitMq {
    folder: PathBuf,
    node: String,
    port: u16,
    distribution: u16,
    mapper_port: u16,
    mapper: Option<Child>,
    server: Option<Child>,
}

impl RabbitMq {
    fn new() -> Self {
        let id = std::process::id();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("rabbitmq-{id}"));
        fs::create_dir_all(&folder).unwrap();
        // All are held at the same time, so that they differ.
        let free: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let [port, distribution, mapper_port] = [0, 1, 2].map(|at| free[at].local_addr().unwrap().port());
        fs::write(folder.join("rabbitmq.conf"), format!("listeners.tcp.1 = 127.0.0.1:{port}\n")).unwrap();
        fs::write(folder.join("plugins"), "[].\n").unwrap();
        Self { folder, node: format!("worker-{id}@localhost"), port, distribution, mapper_port, mapper: None, server: None }
    }

    /// Erlang's port mapper, in the foreground: otherwise RabbitMQ starts one that outlives it.
    async fn start_mapper(&mut self) {
        if self.mapper.is_none() {
            let mut command = Command::new("epmd");
            command.args(["-port", &self.mapper_port.to_string(), "-address", "127.0.0.1"]);
            self.mapper = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("epmd is there"));
        }
        let listens = async {
            while TcpStream::connect(("127.0.0.1", self.mapper_port)).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(START, listens).await.expect("the port mapper listens");
    }

    async fn start(&mut self) {
        self.start_mapper().await;
        let log = fs::File::create(self.folder.join("server.log")).unwrap();
        let server = Command::new("/usr/lib/rabbitmq/bin/rabbitmq-server")
            .current_dir(&self.folder)
            .env("HOME", &self.folder)
            .env("RABBITMQ_NODENAME", &self.node)
            .env("RABBITMQ_MNESIA_BASE", self.folder.join("data"))
            .env("RABBITMQ_LOG_BASE", self.folder.join("log"))
            .env("RABBITMQ_CONFIG_FILE", self.folder.join("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", self.folder.join("plugins"))
            .env("RABBITMQ_DIST_PORT", self.distribution.to_string())
            .env("ERL_EPMD_PORT", self.mapper_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("RabbitMQ starts; Debian's package is rabbitmq-server");
        self.server = Some(server);
        let answers = async {
            while Publisher::connect(&self.url()).await.is_err() {
                sleep(Duration::from_millis(200)).await;
            }
        };
        let answered = timeout(START, answers).await;
        assert!(answered.is_ok(), "RabbitMQ does not answer:\n{}", fs::read_to_string(self.folder.join("server.log")).unwrap_or_default());
    }

    fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            let group = Pid::from_child(&server);
            let _ = kill_process_group(group, Signal::KILL);
            let _ = server.wait();
        }
    }

    fn url(&self) -> BrokerUrl {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port).parse().unwrap()
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        self.kill();
        if let Some(mut mapper) = self.mapper.take() {
            let _ = mapper.kill();
            let _ = mapper.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn pod(number: u32, stage: Stage) -> PodEvent {
    PodEvent::Seen(Pod { uid: format!("uid-{number}"), name: format!("ns/pod-{number}"), stage, grace: Duration::from_secs(30) })
}

/// Reads events until so many of a kind have come.
async fn wait_for(events: &mut mpsc::UnboundedReceiver<Event>, count: usize, kind: impl Fn(&Happening) -> bool) {
    let mut seen = 0;
    while seen < count {
        let event = timeout(START, events.recv()).await.expect("an event comes").expect("the fleet works");
        seen += usize::from(kind(&event.happening));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_works_off_all_messages_through_stops_and_an_outage() {
    let mut rabbit = RabbitMq::new();
    rabbit.start().await;
    let publisher = Publisher::connect(&rabbit.url()).await.unwrap();
    assert_eq!(publisher.declare("mail").await.unwrap(), 0);
    let burst = PublishOptions { queue: "mail".into(), count: 24, size: 32, rate_per_s: None };
    let published = publisher.publish(&burst).await.unwrap();
    assert_eq!(published.count, 24);
    assert!(publisher.publish(&PublishOptions { queue: "nowhere".into(), ..burst }).await.is_err(), "there is no such queue");
    publisher.close().await;

    let (pods, source) = pods_by_hand();
    let mut options = FleetOptions::new(SERVICE);
    let mut events = options.listen();
    let fleet = Fleet::start_with(source, Arc::new(Amqp::new(rabbit.url(), "mail")), options);
    for number in 0..6 {
        pods.send(pod(number, Stage::Running)).unwrap();
    }
    wait_for(&mut events, 6, |happening| matches!(happening, Happening::Took { .. })).await;
    let report = fleet.report();
    assert_eq!((report.held, report.redelivered), (6, 0));

    // A pod stops while it holds a message: another one gets it.
    pods.send(pod(0, Stage::Terminating)).unwrap();
    wait_for(&mut events, 1, |happening| matches!(happening, Happening::Took { redelivered: true, .. })).await;
    assert_eq!(fleet.report().busy_stopped, 1);

    // The broker dies while the five others hold messages, and comes back.
    rabbit.kill();
    wait_for(&mut events, 5, |happening| matches!(happening, Happening::Lost { .. } | Happening::Unsure { .. })).await;
    rabbit.start().await;
    let report = timeout(START, fleet.done(24)).await.expect("all messages are done");
    assert_eq!(report.done + report.unsure, 24);
    assert!(report.redelivered > report.lost, "{report:?}");

    // A broker that was killed may have forgotten acknowledgements, and then delivers their messages once more. After that, the queue is empty.
    let publisher = Publisher::connect(&rabbit.url()).await.unwrap();
    let empty = async {
        while publisher.declare("mail").await.unwrap() > 0 || fleet.report().held > 0 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(START, empty).await.expect("the queue gets empty");
    let report = fleet.stop().await;
    assert_eq!((report.busy_stopped, report.idle_stopped, report.held), (1, 0, 0));
}
