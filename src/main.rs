//! The binary: see `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    nephoscope::cli::main()
}
