//! RabbitMQ: the machine's own package, run by hand beside others with its own node name, ports, data and port mapper.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::{Value, json};

use crate::components::url;
use crate::part::{Part, Program};
use crate::port::Port;
use crate::run::Run;

/// The start scripts of Debian's package. The one in /usr/sbin changes the user and is of no use here.
const SCRIPTS: [&str; 2] = ["/usr/lib/rabbitmq/bin", "/opt/rabbitmq/sbin"];

/// The user that RabbitMQ lets in from loopback without being told.
const USER: &str = "guest";

const START_WITHIN: Duration = Duration::from_secs(90);

/// What a test may want otherwise.
#[derive(Clone, Debug)]
pub struct RabbitOptions {
    /// How often the management interface counts anew: 5 s unless told otherwise, as in production.
    pub collect_statistics_interval: Duration,
}

impl Default for RabbitOptions {
    fn default() -> Self {
        Self { collect_statistics_interval: Duration::from_secs(5) }
    }
}

/// A running RabbitMQ with its management plugin. It stops when dropped, and its port mapper with it.
pub struct Rabbit {
    // Dropped in this order: the broker, its port mapper, then the ports and the folder.
    broker: Part,
    _port_mapper: Part,
    ports: Ports,
    client: reqwest::Client,
    run: Run,
}

struct Ports {
    amqp: Port,
    management: Port,
    distribution: Port,
    port_mapper: Port,
}

impl Rabbit {
    /// Starts a broker of its own and waits until both its ports answer.
    pub async fn start(options: RabbitOptions) -> Result<Self> {
        let script = installed()?;
        let run = Run::open("rabbit")?;
        let ports = Ports { amqp: Port::book()?, management: Port::book()?, distribution: Port::book()?, port_mapper: Port::book()? };
        // Started here in the foreground: by itself, RabbitMQ starts one as a daemon that outlives it.
        let port_mapper = Program {
            name: "epmd",
            path: PathBuf::from("epmd"),
            arguments: vec!["-port".into(), ports.port_mapper.number.to_string(), "-address".into(), "127.0.0.1".into()],
            environment: Vec::new(),
        };
        let mut port_mapper = Part::start(&run, &port_mapper)?;
        port_mapper.until_ready(START_WITHIN, async || ports.port_mapper.accepts().await).await?;
        let broker = Program { name: "rabbitmq", path: script, arguments: Vec::new(), environment: environment(&run, &ports, &options)? };
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
        let mut rabbit = Self { broker: Part::start(&run, &broker)?, _port_mapper: port_mapper, ports, client, run };
        rabbit.until_ready().await?;
        Ok(rabbit)
    }

    /// The broker's URL for AMQP, with user, password and the default vhost.
    pub fn amqp_url(&self) -> String {
        self.amqp_url_of("%2f")
    }

    /// The same for another vhost, percent-encoded where it needs to be.
    pub fn amqp_url_of(&self, vhost: &str) -> String {
        format!("amqp://{USER}:{USER}@{}/{vhost}", self.ports.amqp.address())
    }

    /// The management interface's URL, with user and password.
    pub fn http_url(&self) -> String {
        format!("http://{USER}:{USER}@{}", self.ports.management.address())
    }

    /// Where AMQP is served, for a proxy before it.
    pub fn amqp_address(&self) -> std::net::SocketAddr {
        self.ports.amqp.address()
    }

    /// The folder with data and logs.
    pub fn folder(&self) -> &Path {
        self.run.folder()
    }

    /// Makes a vhost that the broker's user may use; separate tests use separate vhosts.
    pub async fn create_vhost(&self, vhost: &str) -> Result<()> {
        self.manage(Method::PUT, &format!("vhosts/{vhost}"), json!({})).await?;
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        self.manage(Method::PUT, &format!("permissions/{vhost}/{USER}"), all).await
    }

    /// Sends one request to the management interface; `path` begins after `/api/`.
    pub async fn manage(&self, method: Method, path: &str, body: Value) -> Result<()> {
        let to = format!("{}/api/{path}", url("http", self.ports.management.address()));
        let request = self.client.request(method, &to).basic_auth(USER, Some(USER)).json(&body);
        let answer = request.send().await.with_context(|| format!("cannot reach {to}"))?;
        answer.error_for_status().with_context(|| format!("RabbitMQ refuses {to}"))?;
        Ok(())
    }

    /// Makes the broker hang: it keeps its connections and answers nothing.
    pub fn pause(&self) -> Result<()> {
        self.broker.pause()
    }

    /// Lets a paused broker go on.
    pub fn resume(&self) -> Result<()> {
        self.broker.resume()
    }

    async fn until_ready(&mut self) -> Result<()> {
        let overview = url("http", self.ports.management.address()) + "/api/overview";
        let Self { broker, ports, client, .. } = self;
        broker
            .until_ready(START_WITHIN, async || {
                let answer = client.get(&overview).basic_auth(USER, Some(USER)).send().await;
                answer.is_ok_and(|answer| answer.status().is_success()) && ports.amqp.accepts().await
            })
            .await
    }
}

/// The start script of the installed package.
pub(crate) fn installed() -> Result<PathBuf> {
    let found = SCRIPTS.iter().map(|folder| Path::new(folder).join("rabbitmq-server")).find(|path| path.is_file());
    match found {
        Some(path) => Ok(path),
        None => bail!(
            "RabbitMQ is missing (looked in {}). `cargo xtask setup` installs it when run as root; else `apt-get install rabbitmq-server`",
            SCRIPTS.join(", ")
        ),
    }
}

/// Sets all that would otherwise be shared with another RabbitMQ on this machine.
fn environment(run: &Run, ports: &Ports, options: &RabbitOptions) -> Result<Vec<(String, String)>> {
    let interval = options.collect_statistics_interval.as_millis();
    let (amqp, management) = (ports.amqp.address(), ports.management.number);
    let settings = format!(
        "listeners.tcp.local = {amqp}\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {management}\n\
         collect_statistics_interval = {interval}\nlog.console = true\nlog.file = false\ndisk_free_limit.absolute = 50MB\n"
    );
    let folder = |name: &str| run.subfolder(name).map(|path| path.display().to_string());
    let file = |name: &str, content: &str| run.write(name, content).map(|path| path.display().to_string());
    let set = [
        ("HOME", folder("home")?),
        ("RABBITMQ_NODENAME", "testbed@localhost".into()),
        ("RABBITMQ_MNESIA_BASE", folder("data")?),
        ("RABBITMQ_LOG_BASE", folder("logs")?),
        ("RABBITMQ_CONFIG_FILE", file("rabbitmq.conf", &settings)?),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", file("enabled_plugins", "[rabbitmq_management].\n")?),
        // The machine's own settings must not reach this one.
        ("RABBITMQ_CONF_ENV_FILE", file("rabbitmq-env.conf", "")?),
        ("RABBITMQ_ADVANCED_CONFIG_FILE", file("advanced.config", "[].\n")?),
        ("RABBITMQ_PID_FILE", run.folder().join("rabbitmq.pid").display().to_string()),
        ("RABBITMQ_DIST_PORT", ports.distribution.number.to_string()),
        ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}".into()),
        ("ERL_EPMD_PORT", ports.port_mapper.number.to_string()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
        // The script then becomes the broker, so that a signal to the part reaches it.
        ("RUNNING_UNDER_SYSTEMD", "true".into()),
    ];
    Ok(set.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        self.broker.kill();
    }
}
