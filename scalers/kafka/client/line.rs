//! A connection to one broker: opened, logged in, and asked one question after the other.

use std::sync::Arc;
use std::time::Duration;

use rsasl::config::SASLConfig;
use rsasl::mechname::Mechname;
use rsasl::prelude::SASLClient;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::bytes::{Form, Reader, Writer};
use super::messages::{ApiVersions, Request, SaslAuthenticate, SaslHandshake, Versions, words};
use crate::error::Cause;
use crate::kafka::cluster::Login;
use crate::secret::Secret;

/// Who we are, for a broker's log.
const CLIENT: &str = "springtide";
/// The largest answer that is taken: the offsets of a million partitions are smaller.
const LARGEST: usize = 64 << 20;
/// How long before its end a login is replaced, so that it does not end on the way.
const MARGIN: Duration = Duration::from_secs(10);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What every line of a client has in common.
pub(super) struct Manner {
    pub tls: Option<Arc<ClientConfig>>,
    pub login: Login,
    /// For a login by token.
    pub token: Option<Secret>,
}

/// A connection that is logged in.
pub(super) struct Line {
    stream: Box<dyn Stream>,
    correlation: i32,
    pub versions: Versions,
    /// When its login ends.
    until: Option<Instant>,
}

/// Why a line could not be made.
pub(super) enum Unready {
    /// Nobody is there, or it does not speak Kafka.
    Away(Cause),
    /// The broker refuses us, with its words.
    Refused(String),
}

impl<E: Into<Cause>> From<E> for Unready {
    fn from(error: E) -> Self {
        Self::Away(error.into())
    }
}

impl Line {
    /// Connects, asks what the broker knows, and logs in.
    pub(super) async fn open(host: &str, port: u16, manner: &Manner) -> Result<Self, Unready> {
        let tcp = TcpStream::connect((host, port)).await?;
        // Questions are small and waited for.
        tcp.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match &manner.tls {
            Some(config) => Box::new(TlsConnector::from(Arc::clone(config)).connect(ServerName::try_from(host.to_owned())?, tcp).await?),
            None => Box::new(tcp),
        };
        let mut line = Self { stream, correlation: 0, versions: Versions::default(), until: None };
        let (error, versions) = line.ask(&ApiVersions).await?;
        if error != 0 {
            return Err(Unready::Away(words(error).into()));
        }
        line.versions = versions;
        match &manner.login {
            Login::None => {}
            Login::Password { mechanism, user, password } => line.log_in(mechanism, user, password).await?,
            Login::Token(_, extensions) => {
                let token = manner.token.as_ref().ok_or("no token was fetched")?;
                line.show(token, extensions).await?;
            }
        }
        Ok(line)
    }

    /// Whether it can be asked for a while yet.
    pub(super) fn is_good(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }

    /// Asks, and waits for the answer. A line that failed, or was left waiting, is of no more use.
    pub(super) async fn ask<R: Request>(&mut self, request: &R) -> Result<R::Answer, Cause> {
        self.correlation = self.correlation.wrapping_add(1);
        let mut writer = Writer(vec![0; 4]);
        writer.i16(R::KEY);
        writer.i16(request.version());
        writer.i32(self.correlation);
        writer.text(Form::Classic, CLIENT);
        writer.end(request.form());
        request.write(&mut writer);
        let Writer(mut bytes) = writer;
        let length = u32::try_from(bytes.len() - 4)?;
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&bytes).await?;
        self.stream.flush().await?;

        let length = self.stream.read_u32().await.map_err(closed)?;
        let length = usize::try_from(length)?;
        if length > LARGEST {
            return Err(format!("an answer of {length} bytes is announced, which is none of Kafka's; check the port").into());
        }
        let mut answer = Vec::new();
        (&mut self.stream).take(u64::try_from(length)?).read_to_end(&mut answer).await?;
        if answer.len() < length {
            return Err("the connection ended within an answer".into());
        }
        let mut reader = Reader(&answer);
        if reader.i32()? != self.correlation {
            return Err("the answer is to another question".into());
        }
        reader.end(request.form())?;
        Ok(request.read(&mut reader)?)
    }

    async fn begin(&mut self, mechanism: &str) -> Result<(), Unready> {
        let (error, offered) = self.ask(&SaslHandshake(mechanism)).await?;
        if error == 0 {
            return Ok(());
        }
        Err(Unready::Refused(format!("it takes no {mechanism}, but {}", offered.join(", "))))
    }

    /// One step of a login: what the broker answers.
    async fn step(&mut self, words: &[u8]) -> Result<Vec<u8>, Unready> {
        let version = i16::from(self.versions.limit_logins());
        let answer = self.ask(&SaslAuthenticate { words, version }).await?;
        if answer.error != 0 {
            return Err(Unready::Refused(if answer.reason.is_empty() { self::words(answer.error) } else { answer.reason }));
        }
        if let Some(life) = u64::try_from(answer.lifetime_ms).ok().filter(|life| *life > 0).map(Duration::from_millis) {
            self.until = Some(Instant::now() + life.saturating_sub(MARGIN).max(life / 2));
        }
        Ok(answer.words)
    }

    async fn log_in(&mut self, mechanism: &str, user: &Secret, password: &Secret) -> Result<(), Unready> {
        self.begin(mechanism).await?;
        let config = SASLConfig::with_credentials(None, user.expose().to_owned(), password.expose().to_owned())?;
        let mut session = SASLClient::new(config).start_suggested(&[Mechname::parse(mechanism.as_bytes())?])?;
        let mut heard: Option<Vec<u8>> = None;
        loop {
            let mut said = Vec::new();
            let state = session.step(heard.as_deref(), &mut said)?;
            if state.has_sent_message() {
                heard = Some(self.step(&said).await?);
            }
            if state.is_finished() {
                return Ok(());
            }
        }
    }

    /// Shows a token (RFC 7628, 3.1).
    async fn show(&mut self, token: &Secret, extensions: &[(String, String)]) -> Result<(), Unready> {
        self.begin("OAUTHBEARER").await?;
        let mut words = format!("n,,\u{1}auth=Bearer {}\u{1}", token.expose());
        for (name, text) in extensions {
            words.push_str(&format!("{name}={text}\u{1}"));
        }
        words.push('\u{1}');
        let refusal = self.step(words.as_bytes()).await?;
        if refusal.is_empty() {
            return Ok(());
        }
        // The broker says why in its own words, which are no secret, and waits for us to have heard it.
        Err(Unready::Refused(String::from_utf8_lossy(&refusal).chars().take(200).collect()))
    }
}

/// A broker that wants a login or TLS says so by hanging up.
fn closed(error: std::io::Error) -> Cause {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        return "it hung up without an answer, as it does where it wants another sasl or tls than the trigger gives".into();
    }
    error.into()
}
