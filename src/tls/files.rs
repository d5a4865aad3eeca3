//! Reads and checks the PEM files of a client before it connects.

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::Words;

/// The largest certificate file that is read, in bytes: the system's own bundle of all authorities has 0.2 MiB.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The files of one side, as the operator named them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Files<'a> {
    /// The authorities that the server's certificate must descend from.
    pub authority: Option<&'a Path>,
    /// The client's certificate, perhaps with a chain.
    pub certificate: Option<&'a Path>,
    /// The client's key; where there is none, it is in the certificate's file.
    pub key: Option<&'a Path>,
}

/// What was read, once it is sure that it fits together.
pub struct Checked {
    /// The authorities, and the PEM text they are from.
    pub authority: Option<(RootCertStore, Vec<u8>)>,
    /// The client's certificate and key.
    pub identity: Option<Identity>,
}

/// A client's certificate and its key.
pub struct Identity {
    /// The certificate and its chain.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key.
    pub key: PrivateKeyDer<'static>,
    /// The PEM text of the certificate.
    pub certificate_pem: Vec<u8>,
    /// The PEM text of the key.
    pub key_pem: Vec<u8>,
}

impl Files<'_> {
    /// Reads the files and sees that they can be used together; nothing is connected. Every complaint says what to do,
    /// and begins with "cannot".
    pub fn check(&self, words: &Words) -> Result<Checked, Vec<String>> {
        let mut complaints = Vec::new();
        let authority = self.authority.map(|path| authority(path, words)).transpose();
        let authority = authority.map_err(|complaint| complaints.push(complaint)).ok().flatten();
        let identity = match (self.certificate, self.key) {
            (Some(certificate), key) => identity(certificate, key.unwrap_or(certificate), words).map(Some),
            (None, Some(key)) => Err(format!(
                "cannot use {} {}: there is no {} in {}; give both, or neither",
                words.key,
                key.display(),
                words.certificate,
                words.place
            )),
            (None, None) => Ok(None),
        };
        let identity = identity.map_err(|complaint| complaints.push(complaint)).ok().flatten();
        if complaints.is_empty() { Ok(Checked { authority, identity }) } else { Err(complaints) }
    }
}

impl Checked {
    /// The client's side of TLS with these files; `None` where the authorities are to be the system's.
    pub fn client_config(self) -> Option<ClientConfig> {
        let (roots, _) = self.authority?;
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .ok()?
            .with_root_certificates(roots);
        match self.identity {
            Some(identity) => builder.with_client_auth_cert(identity.chain, identity.key).ok(),
            None => Some(builder.with_no_client_auth()),
        }
    }
}

fn authority(path: &Path, words: &Words) -> Result<(RootCertStore, Vec<u8>), String> {
    let text = read(words.authority, path)?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(words.authority, path, &text)? {
        roots.add(certificate).map_err(|cause| {
            format!(
                "cannot use {} {}: {cause}; give the certificates of authorities, PEM",
                words.authority,
                path.display()
            )
        })?;
    }
    Ok((roots, text))
}

fn identity(certificate: &Path, key: &Path, words: &Words) -> Result<Identity, String> {
    let certificate_pem = read(words.certificate, certificate)?;
    let chain = certificates(words.certificate, certificate, &certificate_pem)?;
    let key_pem = read(words.key, key)?;
    let unusable = |why: String| format!("cannot use {} {}: {why}", words.key, key.display());
    let private = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|cause| {
        let text = String::from_utf8_lossy(&key_pem);
        unusable(if text.contains("ENCRYPTED") {
            format!(
                "it is encrypted, and nobody is there to give the password; decrypt it (openssl pkey -in {} -out …)",
                key.display()
            )
        } else {
            format!("{}; give a private key, PEM", plain(&cause, "key"))
        })
    })?;
    let provider = rustls::crypto::ring::default_provider();
    // The pair is looked at here: a server only says "bad certificate".
    CertifiedKey::from_der(chain.clone(), private.clone_key(), &provider).map_err(|cause| {
        unusable(match cause {
            rustls::Error::InconsistentKeys(_) => format!(
                "it is not the key of the certificate in {} {}; give the two that belong together",
                words.certificate,
                certificate.display()
            ),
            cause => format!("{cause}; give a certificate and a key of RSA, ECDSA or Ed25519, PEM"),
        })
    })?;
    Ok(Identity { chain, key: private, certificate_pem, key_pem })
}

fn read(option: &str, path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |cause: io::Error| {
        let todo = match cause.kind() {
            io::ErrorKind::NotFound => "correct the path, or put the file there",
            io::ErrorKind::PermissionDenied => "let the user that runs nephoscope read it",
            _ => "give a file that can be read",
        };
        format!("cannot read {option} {}: {cause}; {todo}", path.display())
    };
    let about = fs::metadata(path).map_err(unreadable)?;
    if !about.is_file() {
        return Err(format!("cannot read {option} {}: it is no file; give a PEM file", path.display()));
    }
    if about.len() > FILE_BYTES_MAX {
        return Err(format!(
            "cannot use {option} {}: it has {} bytes, expected at most {FILE_BYTES_MAX}; give a PEM file",
            path.display(),
            about.len()
        ));
    }
    fs::read(path).map_err(unreadable)
}

fn certificates(option: &str, path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let unusable = |why: &str| format!("cannot use {option} {}: {why}; give a certificate, PEM", path.display());
    match CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>() {
        Ok(found) if found.is_empty() => Err(unusable("there is no certificate in it")),
        Ok(found) => Ok(found),
        Err(cause) => Err(unusable(&plain(&cause, "certificate"))),
    }
}

/// What the reader of PEM says, in words.
fn plain(cause: &pem::Error, what: &str) -> String {
    match cause {
        pem::Error::NoItemsFound => format!("there is no {what} in it"),
        other => format!("it is not PEM ({other})"),
    }
}
