//! An authority of the test's own, and certificates by it, as files.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use std::fs;
use std::path::{Path, PathBuf};

/// An authority and the folder of its files: `<name>.pem`, and for each certificate `<name>.pem` and `<name>.key`.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
    pub(crate) file: String,
}

impl Authority {
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = named(&[], name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let file = write(folder, name, "pem", &params.self_signed(&key).unwrap().pem());
        Authority { issuer: Issuer::new(params, key), folder: folder.to_owned(), file }
    }

    /// A certificate of these names: its two files.
    pub(crate) fn sign(&self, file: &str, names: &[&str]) -> (String, String) {
        self.finish(file, named(names, file))
    }

    /// The same, but it has expired.
    pub(crate) fn sign_expired(&self, file: &str, names: &[&str]) -> (String, String) {
        let mut params = named(names, file);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        self.finish(file, params)
    }

    fn finish(&self, file: &str, params: CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let pem = write(&self.folder, file, "pem", &certificate.pem());
        (pem, write(&self.folder, file, "key", &key.serialize_pem()))
    }
}

fn named(names: &[&str], common_name: &str) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

fn write(folder: &Path, name: &str, kind: &str, text: &str) -> String {
    let path = folder.join(format!("{name}.{kind}"));
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}
