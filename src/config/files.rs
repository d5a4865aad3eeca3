//! Checks of files that options name: the place of an option, and whether a file could be written, without writing it.

use super::Settings;
use super::broker::TransportUrl;
use super::values::Values;
use crate::model::Place;
use rustix::fs::{Access, access};
use std::io;
use std::path::Path;

impl Settings {
    /// Where an option is written, under any of its names; `configuration` where it is not.
    pub fn place(&self, section: &str, name: &str) -> Place {
        Values::new(&self.sources.file_options).place(section, name)
    }

    /// Where a broker's URL is written.
    pub fn place_of(&self, broker: &TransportUrl) -> Place {
        let mut values = Values::new(&self.sources.file_options);
        let urls = values.many("notification", "messaging_urls").unwrap_or_default();
        let found = urls.into_iter().find(|entry| self.transport_url(&entry.text).is_ok_and(|url| url == *broker));
        let own = self.place("oslo_messaging_notifications", "transport_url");
        let plain = || if own.line > 0 { own } else { self.place("DEFAULT", "transport_url") };
        found.map_or_else(plain, |entry| entry.place)
    }
}

/// Whether this user could append to a file, and make it if it is not there. Nothing is opened or made.
pub fn appendable(path: &Path) -> io::Result<()> {
    match std::fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => Ok(access(path, Access::WRITE_OK)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if !std::fs::metadata(folder)?.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            Ok(access(folder, Access::WRITE_OK | Access::EXEC_OK)?)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_could_be_written_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("there"), "").unwrap();
        assert!(appendable(&at("there")).is_ok() && appendable(&at("new")).is_ok());
        assert!(!at("new").exists());
        let kind = |path: &Path| appendable(path).unwrap_err().kind();
        assert_eq!(kind(folder.path()), io::ErrorKind::IsADirectory);
        assert_eq!(kind(&at("no/file")), io::ErrorKind::NotFound);
        assert_eq!(kind(&at("there/file")), io::ErrorKind::NotADirectory);
    }
}
