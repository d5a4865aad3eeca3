//! The Debian package in Debian 12 and in Debian 13, with the systemd of each as process 1: installed, started, reloaded, stuck, upgraded,
//! wrongly configured, removed, purged.
//!
//! `tests/deploy/in-debian.sh` does it and prints what it finds. Skipped, and says so, where cargo-deb is not installed or systemd cannot be
//! booted (`tests/rig/booted.sh`).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rstest::rstest;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::rig;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The package with the program of this test run in it; the reason, where it cannot be made.
fn package() -> Result<PathBuf, String> {
    if !Path::new(ROOT).join("target/tools/bin/cargo-deb").exists() {
        return Err("cargo-deb is not installed: run .ci/tools deb".to_owned());
    }
    let made = Command::new("deploy/package.sh")
        .current_dir(ROOT)
        .env("NEPHOSCOPE_BINARY", env!("CARGO_BIN_EXE_nephoscope"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "deploy/package.sh: {said}");
    Ok(Path::new(ROOT).join(String::from_utf8(made.stdout).unwrap().trim()))
}

/// What the script printed in a booted Debian, by its titles; the reason, where none can be booted.
fn in_debian(release: &str, package: &Path) -> Result<HashMap<String, Vec<String>>, String> {
    let made = Command::new(format!("tests/rig/debian{release}.sh")).arg("make").current_dir(ROOT).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let tree = String::from_utf8(made.stdout).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(package, folder.path().join(package.file_name().unwrap())).unwrap();
    std::fs::copy(Path::new(ROOT).join("tests/deploy/in-debian.sh"), folder.path().join("script")).unwrap();
    let broker = rig::rabbitmq().vhost(&format!("debian{release}")).replacen("amqp://", "rabbit://", 1);
    std::fs::write(folder.path().join("broker"), broker).unwrap();
    let booted = Command::new("tests/rig/booted.sh")
        .arg(tree.trim())
        .arg(folder.path())
        .current_dir(ROOT)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&booted.stderr);
    if booted.status.code() == Some(77) {
        return Err(said.trim().to_owned());
    }
    let printed = std::fs::read_to_string(folder.path().join("printed")).unwrap();
    assert!(booted.status.success(), "{said}\n{printed}");
    let mut found: HashMap<String, Vec<String>> = HashMap::new();
    let mut title = String::new();
    for line in printed.lines() {
        match line.strip_prefix("## ") {
            Some(next) => {
                next.clone_into(&mut title);
                found.entry(title.clone()).or_default();
            }
            None => found.entry(title.clone()).or_default().push(line.to_owned()),
        }
    }
    assert!(found.contains_key("end"), "{printed}");
    Ok(found)
}

#[rstest]
#[case("12")]
#[case("13")]
#[test]
fn the_package_is_installed_started_upgraded_and_purged_in_debian(#[case] release: &str) {
    let found = package().and_then(|package| in_debian(release, &package));
    let found = match found {
        Ok(found) => found,
        Err(reason) => {
            println!("SKIPPED: {reason}");
            return;
        }
    };
    let all = format!("{found:#?}");
    let under = |title: &str| {
        assert!(found.contains_key(title), "nothing under {title}: {all}");
        &found[title]
    };
    let has = |title: &str, lines: &[&str]| {
        for line in lines {
            assert!(under(title).iter().any(|found| found == line), "{line:?} is not under {title}: {all}");
        }
    };
    has("installed", &["Status: install ok installed", concat!("Version: ", env!("CARGO_PKG_VERSION"))]);
    has(
        "files",
        &[
            "-rwxr-xr-x root:root /usr/bin/nephoscope",
            "-rw-r--r-- root:root /usr/lib/systemd/system/nephoscope.service",
            "-rw-r----- root:nephoscope /etc/nephoscope/ceilometer.conf",
            "-rw-r----- root:nephoscope /etc/default/nephoscope",
            "-rw-r--r-- root:root /usr/share/man/man1/nephoscope.1.gz",
            "-rw-r--r-- root:root /usr/share/bash-completion/completions/nephoscope",
            "-rw-r--r-- root:root /usr/share/zsh/vendor-completions/_nephoscope",
            "-rw-r--r-- root:root /usr/share/fish/vendor_completions.d/nephoscope.fish",
        ],
    );
    for file in ["ceilometer.conf", "pipeline.yaml", "event_pipeline.yaml"] {
        has("conffiles", &[&format!(" /etc/nephoscope/{file}")]);
    }
    has("conffiles", &[" /etc/default/nephoscope"]);
    assert!(under("user")[0].ends_with(":/var/lib/nephoscope:/usr/sbin/nologin"), "{all}");
    // Its configuration is an example.
    assert_eq!(under("service"), &["disabled", "inactive"], "{all}");
    assert_eq!(under("verify"), &["fine"], "{all}");
    assert_eq!(under("check"), &["exit code 0"], "{all}");
    has("program", &[concat!("nephoscope ", env!("CARGO_PKG_VERSION"))]);

    let running = ["ActiveState=active", "SubState=running", "Type=notify", "Result=success", "User=nephoscope"];
    has("start", &["exit code 0", "LimitNOFILE=65536"]);
    has("start", &running);
    let line = under("start").iter().find(|line| line.starts_with("StatusText=")).unwrap();
    assert!(line.starts_with("StatusText=running; consumes 7 of 7 queues; member "), "{all}");
    has("reload", &["exit code 0", "ActiveState=active", "NRestarts=0"]);
    has("stuck", &["ActiveState=active", "NRestarts=1", "another process"]);
    has("upgrade", &["exit code 0", "ActiveState=active", "another process"]);
    // What an operator wrote stays, and so does who may read it.
    has("upgrade", &["-rw-r----- root:nephoscope /etc/default/nephoscope", "1"]);
    has(
        "wrong",
        &["Result=success", "exit code 1", "ActiveState=failed", "ExecMainStatus=78", "NRestarts=0", "exit code 0"],
    );
    has("removed", &["exit code 0", "inactive", "ceilometer.conf"]);
    assert_eq!(under("purged"), &["exit code 0", "inactive"], "{all}");
}
