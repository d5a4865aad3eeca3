//! Files of certificates and keys, as the client of the http publisher reads them.
//!
//! Never here: a connection.

use reqwest::{Certificate, Identity};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::shown;

/// An option with the file that it names.
type Named<'f> = (&'f str, &'f Path);

/// A client's certificate and its key; the key may be in the certificate's file.
pub(super) fn identity((option, cert): Named<'_>, key: Option<Named<'_>>) -> Result<Identity, String> {
    let mut pem = bytes(cert).map_err(|cause| format!("{option}={}: {cause}", shown_path(cert)))?;
    if let Some((option, key)) = key {
        pem.push(b'\n');
        pem.extend(bytes(key).map_err(|cause| format!("{option}={}: {cause}", shown_path(key)))?);
    }
    Identity::from_pem(&pem).map_err(|cause| {
        format!("{option}={}: not a certificate with its key in PEM: {}", shown_path(cert), told(&cause))
    })
}

/// What is in a file. To open a pipe would be to wait for whoever writes into it.
fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.is_file() { fs::read(path) } else { Err(io::Error::other("it is no regular file")) }
}

/// The certificates of a file, or of all files of a folder.
pub(super) fn authorities(path: &Path) -> Result<Vec<Certificate>, String> {
    let files: Vec<PathBuf> = if path.is_dir() {
        let entries = fs::read_dir(path).map_err(|cause| cause.to_string())?;
        entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(|path| path.is_file()).collect()
    } else {
        vec![path.to_owned()]
    };
    let mut certificates = Vec::new();
    for file in files {
        let pem = bytes(&file).map_err(|cause| cause.to_string())?;
        certificates.extend(Certificate::from_pem_bundle(&pem).map_err(|cause| told(&cause))?);
    }
    if certificates.is_empty() { Err("no certificate in PEM there".to_owned()) } else { Ok(certificates) }
}

/// The library that does the arithmetic of TLS. An error here means that another room was first, with the same.
pub(super) fn install() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// An error with its causes, without the URL: it may hold secrets.
pub(in crate::publish) fn told(error: &reqwest::Error) -> String {
    let mut text = if error.is_builder() {
        "not usable".to_owned()
    } else if error.is_timeout() {
        "no answer in time".to_owned()
    } else if error.is_connect() {
        "no connection".to_owned()
    } else {
        "the request failed".to_owned()
    };
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

/// A path that somebody wrote, for complaints; it may be a URL by mistake.
pub(super) fn shown_path(path: &Path) -> String {
    shown(&path.to_string_lossy())
}
