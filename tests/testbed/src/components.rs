//! The command lines of a control plane's programs, as they run on loopback without containers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;

use crate::certificates::{Authority, signing_keys};
use crate::kubeconfig::{self, AUTHORITY};
use crate::part::Program;
use crate::plane::Options;
use crate::port::Port;
use crate::programs::Programs;
use crate::run::Run;

const STAGES: &str = include_str!("../kwok/stages.yaml");
const AUDIT_POLICY: &str = include_str!("audit-policy.yaml");

/// The label by which kwok knows the nodes whose kubelet it plays.
pub const FAKE_NODE: (&str, &str) = ("kwok.x-k8s.io/node", "fake");

/// Controllers that would have nothing to do here. Each costs 150 ms of a plane's start: three requests at the manager's default limit.
const IDLE_CONTROLLERS: [&str; 9] = [
    "certificatesigningrequest-approving-controller",
    "certificatesigningrequest-cleaner-controller",
    "endpointslice-mirroring-controller",
    "legacy-serviceaccount-token-cleaner-controller",
    "persistentvolume-expander-controller",
    "service-cidr-controller",
    "ttl-controller",
    "validatingadmissionpolicy-status-controller",
    "volumeattributesclass-protection-controller",
];

/// What the parts need before they start: addresses, certificates, files.
pub(crate) struct Layout {
    programs: Programs,
    pub(crate) folder: PathBuf,
    pub(crate) etcd: Port,
    etcd_peers: Port,
    pub(crate) api_server: Port,
    pub(crate) scheduler: Port,
    pub(crate) controller_manager: Port,
    pub(crate) kwok: Port,
}

impl Layout {
    /// Books the ports and writes all files into the run's folder.
    pub(crate) fn write(programs: Programs, run: &Run, options: &Options) -> Result<Self> {
        let layout = Self {
            programs,
            folder: run.folder().to_owned(),
            etcd: Port::book()?,
            etcd_peers: Port::book()?,
            api_server: Port::book()?,
            scheduler: Port::book()?,
            controller_manager: Port::book()?,
            kwok: Port::book()?,
        };
        layout.write_identities(run)?;
        run.write("audit-policy.yaml", AUDIT_POLICY)?;
        run.write("stages.yaml", STAGES)?;
        let mut scheduler = json!({
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "clientConnection": {"kubeconfig": layout.file("scheduler.kubeconfig"), "qps": options.scheduler_qps, "burst": 2 * options.scheduler_qps},
            "leaderElection": {"leaderElect": false},
        });
        for (field, value) in &options.scheduler_configuration {
            scheduler[field] = value.clone();
        }
        run.write("scheduler.json", serde_json::to_vec_pretty(&scheduler)?)?;
        Ok(layout)
    }

    fn write_identities(&self, run: &Run) -> Result<()> {
        let authority = Authority::new("testbed")?;
        run.write(AUTHORITY, &authority.certificate)?;
        let (private, public) = signing_keys()?;
        run.write("service-accounts.key", private)?;
        run.write("service-accounts.pub", public)?;
        let reached_as = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "127.0.0.1"];
        let server = authority.server("kube-apiserver", &reached_as)?;
        run.write("server.crt", server.certificate)?;
        run.write("server.key", server.key)?;
        // Aggregated APIs trust what this authority has signed to speak for users.
        let front = Authority::new("testbed-front-proxy")?;
        run.write("front-proxy-ca.crt", &front.certificate)?;
        let front_client = front.client("front-proxy-client", None)?;
        run.write("front-proxy.crt", front_client.certificate)?;
        run.write("front-proxy.key", front_client.key)?;
        let masters = Some("system:masters");
        for (name, user, group) in [
            ("admin", "testbed-admin", masters),
            ("kwok", "kwok", masters),
            ("scheduler", "system:kube-scheduler", None),
            ("controller-manager", "system:kube-controller-manager", None),
        ] {
            kubeconfig::for_identity(run, name, &self.server_url(), &authority.client(user, group)?)?;
        }
        Ok(())
    }

    pub(crate) fn server_url(&self) -> String {
        url("https", self.api_server.address())
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn flag(&self, flag: &str, file: &str) -> String {
        format!("--{flag}={}", self.file(file).display())
    }

    pub(crate) fn etcd(&self, options: &Options) -> Program {
        let clients = url("http", self.etcd.address());
        let peers = url("http", self.etcd_peers.address());
        let arguments = vec![
            "--name=testbed".into(),
            self.flag("data-dir", "etcd"),
            format!("--listen-client-urls={clients}"),
            format!("--advertise-client-urls={clients}"),
            format!("--listen-peer-urls={peers}"),
            format!("--initial-advertise-peer-urls={peers}"),
            format!("--initial-cluster=testbed={peers}"),
            format!("--quota-backend-bytes={}", options.etcd_quota_bytes),
            // Nothing here has to survive a power cut, and another test's disk traffic must not slow this one.
            "--unsafe-no-fsync".into(),
            "--log-level=warn".into(),
        ];
        program("etcd", &self.programs.etcd, arguments)
    }

    pub(crate) fn api_server(&self, options: &Options) -> Program {
        let mut arguments = vec![
            format!("--etcd-servers={}", url("http", self.etcd.address())),
            "--bind-address=127.0.0.1".into(),
            format!("--secure-port={}", self.api_server.number),
            // A loopback address may not be advertised; nobody uses the endpoints of the `kubernetes` service here.
            "--advertise-address=192.0.2.1".into(),
            "--endpoint-reconciler-type=none".into(),
            "--service-cluster-ip-range=10.96.0.0/16".into(),
            "--authorization-mode=Node,RBAC".into(),
            "--allow-privileged=true".into(),
            "--profiling=false".into(),
            self.flag("client-ca-file", AUTHORITY),
            self.flag("tls-cert-file", "server.crt"),
            self.flag("tls-private-key-file", "server.key"),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            self.flag("service-account-key-file", "service-accounts.pub"),
            self.flag("service-account-signing-key-file", "service-accounts.key"),
            self.flag("requestheader-client-ca-file", "front-proxy-ca.crt"),
            "--requestheader-allowed-names=front-proxy-client".into(),
            "--requestheader-username-headers=X-Remote-User".into(),
            "--requestheader-group-headers=X-Remote-Group".into(),
            "--requestheader-extra-headers-prefix=X-Remote-Extra-".into(),
            self.flag("proxy-client-cert-file", "front-proxy.crt"),
            self.flag("proxy-client-key-file", "front-proxy.key"),
            self.flag("audit-policy-file", "audit-policy.yaml"),
            self.flag("audit-log-path", "audit.log"),
            // In megabytes: a log that is rotated in the middle of a test would be counted in part.
            "--audit-log-maxsize=100000".into(),
        ];
        arguments.extend(options.api_server_flags.iter().cloned());
        program("kube-apiserver", &self.programs.kube_apiserver, arguments)
    }

    pub(crate) fn scheduler(&self) -> Program {
        // Tests read what it counts, and have no token for that.
        let open = "--authorization-always-allow-paths=/healthz,/readyz,/livez,/metrics".into();
        let mut arguments = vec![self.flag("config", "scheduler.json"), open];
        arguments.extend(self.serving("scheduler", &self.scheduler));
        program("kube-scheduler", &self.programs.kube_scheduler, arguments)
    }

    pub(crate) fn controller_manager(&self, options: &Options) -> Program {
        let mut arguments = vec![
            self.flag("kubeconfig", "controller-manager.kubeconfig"),
            "--leader-elect=false".into(),
            "--use-service-account-credentials=true".into(),
            format!("--controllers=*,{}", IDLE_CONTROLLERS.map(|name| format!("-{name}")).join(",")),
            self.flag("service-account-private-key-file", "service-accounts.key"),
            self.flag("root-ca-file", AUTHORITY),
        ];
        arguments.extend(self.serving("controller-manager", &self.controller_manager));
        if let Some(qps) = options.controller_manager_qps {
            arguments.extend([format!("--kube-api-qps={qps}"), format!("--kube-api-burst={}", 2 * qps)]);
        }
        arguments.extend(options.controller_manager_flags.iter().cloned());
        program("kube-controller-manager", &self.programs.kube_controller_manager, arguments)
    }

    /// What scheduler and controller-manager share: a port of their own, served with the plane's certificate.
    fn serving(&self, name: &str, port: &Port) -> [String; 6] {
        let kubeconfig = format!("{name}.kubeconfig");
        [
            "--bind-address=127.0.0.1".into(),
            format!("--secure-port={}", port.number),
            self.flag("tls-cert-file", "server.crt"),
            self.flag("tls-private-key-file", "server.key"),
            self.flag("authentication-kubeconfig", &kubeconfig),
            self.flag("authorization-kubeconfig", &kubeconfig),
        ]
    }

    pub(crate) fn kwok(&self) -> Program {
        let (key, value) = FAKE_NODE;
        let arguments = vec![
            self.flag("kubeconfig", "kwok.kubeconfig"),
            self.flag("config", "stages.yaml"),
            format!("--manage-nodes-with-label-selector={key}={value}"),
            // Without a lease the node lifecycle controller turns every node Unknown after 50 s.
            "--node-lease-duration-seconds=40".into(),
            format!("--server-address={}", self.kwok.address()),
            // Documentation's range: nobody can mistake it for a machine that answers.
            "--node-ip=192.0.2.2".into(),
        ];
        program("kwok", &self.programs.kwok, arguments)
    }
}

fn program(name: &'static str, path: &Path, arguments: Vec<String>) -> Program {
    Program { name, path: path.to_owned(), arguments, environment: Vec::new() }
}

pub(crate) fn url(scheme: &str, address: SocketAddr) -> String {
    format!("{scheme}://{address}")
}
