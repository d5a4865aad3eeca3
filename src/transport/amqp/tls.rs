//! TLS as `[oslo_messaging_rabbit]` means it: verified against `ssl_ca_file`, or not at all.

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;

use super::options::TlsOptions;

/// The client's side of TLS; an error says which file is wrong and how.
pub(super) fn client_config(options: &TlsOptions) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let trusted = match &options.ca_file {
        Some(ca_file) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("ssl_ca_file", ca_file)? {
                roots.add(certificate).map_err(|e| format!("cannot use ssl_ca_file {}: {e}", ca_file.display()))?;
            }
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
            Some(verifier.map_err(|e| format!("cannot use ssl_ca_file {}: {e}", ca_file.display()))?)
        }
        None => None,
    };
    let verifier = Verifier { trusted, verify_hostname: options.verify_hostname, provider: provider.clone() };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("cannot set up TLS: {e}"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let Some(cert_file) = &options.cert_file else { return Ok(builder.with_no_client_auth()) };
    let key_file = options.key_file.as_ref().unwrap_or(cert_file);
    let key = PrivateKeyDer::from_pem_file(key_file)
        .map_err(|e| format!("cannot read ssl_key_file {}: {e}", key_file.display()))?;
    builder
        .with_client_auth_cert(certificates("ssl_cert_file", cert_file)?, key)
        .map_err(|e| format!("cannot use ssl_cert_file {}: {e}", cert_file.display()))
}

fn certificates(option: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(format!("cannot use {option} {}: there is no certificate in it", file.display()))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("cannot read {option} {}: {error}", file.display())),
    }
}

/// Python's `CERT_REQUIRED` or `CERT_NONE`, with or without `check_hostname`.
#[derive(Debug)]
struct Verifier {
    trusted: Option<Arc<WebPkiServerVerifier>>,
    verify_hostname: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(trusted) = &self.trusted else { return Ok(ServerCertVerified::assertion()) };
        // The chain is verified before the name: a wrong name means that everything else is right.
        match trusted.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.verify_hostname => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
