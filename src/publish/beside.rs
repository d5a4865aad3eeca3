//! What publishers are made of beside their URL: definition files, and logins. Where that changes, a reload makes them anew.

use std::path::PathBuf;

use super::target::Target;
use super::{Context, gnocchi};
use crate::cluster::hash;

/// The files that the publisher of a URL reads, as far as they are there; the folders of the configuration are searched.
pub fn files(url: &str, search: &[PathBuf]) -> Vec<PathBuf> {
    match Target::parse(url) {
        Ok(target) if target.scheme == "gnocchi" => gnocchi::file(&target, search).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// A number for all that the publisher of a URL is made of beside it: another one where a login or the text of a file is another.
pub fn stamp(url: &str, context: &Context) -> u64 {
    let login = match url.split_once(':') {
        Some(("gnocchi", _)) => &context.gnocchi,
        Some(("zaqar", _)) => &context.zaqar,
        _ => return 0,
    };
    let mut all = login.as_ref().map_or(0, |identity| identity.stamp()).to_be_bytes().to_vec();
    for file in files(url, &context.search) {
        all.extend_from_slice(file.as_os_str().as_encoded_bytes());
        all.extend_from_slice(&std::fs::read(file).unwrap_or_default());
    }
    hash::stable(&all)
}
