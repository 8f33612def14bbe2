//! TLS with a server in the same process: whom we trust, and who we are.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use springtide_core::name::Key;
use springtide_core::units::MetricMilli;

use crate::fake::MOMENT;
use crate::{AuthParams, Error, ResolvedEnv, Secret, parse};

/// An authority of our own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).expect("no names");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(parameters, KeyPair::generate().expect("a key")).expect("a certificate"))
    }

    /// A certificate for this machine and its key, as PEM.
    fn certify(&self) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let parameters = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
        (parameters.signed_by(&key, &self.0).expect("a certificate").pem(), key.serialize_pem())
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.0.pem().as_bytes()).expect("PEM")).expect("an authority");
        roots
    }
}

/// A server that answers each request with the same page. With `clients`, only those whose certificate is from that authority.
fn serve(authority: &Authority, clients: Option<&Authority>) -> SocketAddr {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().expect("versions");
    let builder = match clients {
        Some(clients) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(clients.roots()), provider).build().expect("a verifier");
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let (certificate, key) = authority.certify();
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")];
    let config = builder.with_single_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM")).expect("a pair");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).expect("a connection"), stream);
            // A client that does not trust us leaves before it asks.
            if stream.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\n{\"a\":3}");
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    address
}

/// What is read from there, with this metadata and this authentication.
async fn read(address: SocketAddr, metadata: &[(&str, &str)], auth: &[(&str, &str)]) -> Result<MetricMilli, Error> {
    let url = format!("https://{address}/p");
    let asked = [("url", url.as_str()), ("valueLocation", "a"), ("targetValue", "1")];
    let metadata: BTreeMap<String, String> =
        asked.iter().chain(metadata).map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
    let auth: AuthParams = auth.iter().map(|(key, text)| ((*key).to_owned(), Secret::from(*text))).collect();
    let trigger = parse(&Key::new("default", "object"), "metrics-api", &metadata, &auth, &ResolvedEnv::new()).expect("fine");
    let mut open = trigger.connection.open().await?;
    let answer = open.read(std::slice::from_ref(&trigger.query), MOMENT).await?.remove(0)?;
    Ok(answer.sample(MetricMilli::ZERO, MOMENT.now).metric)
}

#[tokio::test]
async fn servers_are_trusted_by_their_authority_or_on_request() {
    let (ours, other) = (Authority::new(), Authority::new());
    let address = serve(&ours, None);
    let (ours, other) = (ours.0.pem(), other.0.pem());
    assert_eq!(read(address, &[("authModes", "tls")], &[("ca", &ours)]).await.expect("trusted"), MetricMilli(3000));
    assert_eq!(read(address, &[("unsafeSsl", "true")], &[]).await.expect("unchecked"), MetricMilli(3000));
    for (metadata, auth) in [(&[][..], &[][..]), (&[("authModes", "tls")], &[("ca", other.as_str())]), (&[], &[("ca", ours.as_str())])] {
        let error = read(address, metadata, auth).await.expect_err("not trusted");
        assert!(matches!(error, Error::Connect { .. }) && error.chain().contains("certificate"), "{}", error.chain());
    }
}

#[tokio::test]
async fn clients_show_their_certificate() {
    let (ours, clients) = (Authority::new(), Authority::new());
    let address = serve(&ours, Some(&clients));
    let ((cert, key), (wrong_cert, wrong_key), ca) = (clients.certify(), ours.certify(), ours.0.pem());
    let good = [("ca", ca.as_str()), ("cert", &cert), ("key", &key)];
    assert_eq!(read(address, &[("authModes", "tls")], &good).await.expect("known"), MetricMilli(3000));
    for auth in [&[("ca", ca.as_str())][..], &[("ca", &ca), ("cert", &wrong_cert), ("key", &wrong_key)]] {
        let error = read(address, &[("authModes", "tls")], auth).await.expect_err("not known");
        assert!(matches!(error, Error::Connect { .. } | Error::Ask { .. }), "{}", error.chain());
    }
    let mixed = [("ca", ca.as_str()), ("cert", &cert), ("key", &wrong_key)];
    let error = read(address, &[("authModes", "tls")], &mixed).await.expect_err("no pair").chain();
    assert!(error.contains("the pair of cert and key is not usable") && !error.contains("PRIVATE"), "{error}");
}
