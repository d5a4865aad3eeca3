//! Options in environment variables, as oslo.config reads them: `OS_<SECTION>__<OPTION>` in capitals, by the present name
//! of the option, before every file.
//!
//! Different on purpose: an option that may be repeated has the one value of its variable; oslo.config takes it letter by
//! letter.

use super::options;
use super::oslo::{Entry, FileOptions};
use crate::model::Place;
use std::ffi::OsString;

/// Puts what these variables say over what the files say.
pub(super) fn read(file_options: &mut FileOptions, variable: impl Fn(&str) -> Option<OsString>) {
    for row in options::rows() {
        let name = format!("OS_{}__{}", row.section.to_uppercase(), row.name.to_uppercase());
        let Some(text) = variable(&name).and_then(|text| text.into_string().ok()) else { continue };
        let place = Place { file: format!("environment variable {name}").into(), line: 0 };
        file_options.replace(row.names(), Entry { text, place });
    }
}
