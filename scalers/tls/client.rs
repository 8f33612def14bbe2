//! What the words of a trigger come to in a client's configuration.

use std::sync::Arc;

use pkcs8::EncryptedPrivateKeyInfo;
use pkcs8::der::pem::PemLabel as _;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::{Check, Identity, Tls};
use crate::error::{Cause, Error};
use crate::secret::Secret;

impl Tls {
    /// The configuration for a broker, whose address is used in errors only.
    pub(crate) fn client_config(&self, broker: &str) -> Result<ClientConfig, Error> {
        let fault = |part: &'static str| move |source: Cause| Error::PrepareTls { broker: broker.to_owned(), part, source };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| fault("the TLS version")(error.into()))?;
        let builder = match self.check {
            Check::Nothing => builder.dangerous().with_custom_certificate_verifier(Arc::new(Unchecked(provider))),
            Check::Certificate => builder.with_root_certificates(self.roots().map_err(fault("ca"))?),
            Check::Authority => {
                let roots = Arc::new(self.roots().map_err(fault("ca"))?);
                let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
                let verifier = AnyName(verifier.map_err(|error| fault("ca")(error.into()))?);
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
        };
        let Some(identity) = &self.identity else { return Ok(builder.with_no_client_auth()) };
        let certificates = certificates(&identity.certificate).map_err(fault("cert"))?;
        let key = identity.private_key().map_err(fault("key"))?;
        builder.with_client_auth_cert(certificates, key).map_err(|error| fault("the pair of cert and key")(error.into()))
    }

    fn roots(&self) -> Result<RootCertStore, Cause> {
        let mut roots = RootCertStore::empty();
        // A machine without authorities of its own, such as an empty container image, is fine as long as it needs none.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(authority) = &self.authority {
            for certificate in certificates(authority)? {
                roots.add(certificate)?;
            }
        }
        Ok(roots)
    }
}

/// The certificates of a PEM text, of which there is at least one.
pub(crate) fn certificates(pem: &Secret) -> Result<Vec<CertificateDer<'static>>, Cause> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.expose().as_bytes()).collect::<Result<_, _>>()?;
    if certificates.is_empty() { Err("there is no certificate in it".into()) } else { Ok(certificates) }
}

impl Identity {
    fn private_key(&self) -> Result<PrivateKeyDer<'static>, Cause> {
        let Some(password) = &self.key_password else { return Ok(PrivateKeyDer::from_pem_slice(self.key.expose().as_bytes())?) };
        let (label, der) = pkcs8::SecretDocument::from_pem(self.key.expose()).map_err(|error| error.to_string())?;
        EncryptedPrivateKeyInfo::validate_pem_label(label)
            .map_err(|_| "keyPassword is given, but the key is not an ENCRYPTED PRIVATE KEY")?;
        let encrypted = EncryptedPrivateKeyInfo::try_from(der.as_bytes()).map_err(|error| error.to_string())?;
        let key = encrypted.decrypt(password.expose()).map_err(|_| "it does not open with keyPassword")?;
        Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
    }
}

/// Takes a certificate for whatever name, and checks all else.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // The name is looked at last, when all else is well.
        match self.0.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })) => {
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Takes every certificate for good. The signatures of the handshake are checked even so, as rustls wants it.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
