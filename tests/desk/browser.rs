//! A headless Chromium, told what to do over two pipes: JSON messages that end in a zero byte (its DevTools protocol).
//!
//! No name but 127.0.0.1 leads anywhere in it.

use crate::field::PATIENCE;
use base64::Engine as _;
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

pub(super) struct Browser {
    child: Child,
    tell: File,
    answers: Receiver<Value>,
    session: String,
    last: u64,
    requests: Vec<String>,
    complaints: Vec<String>,
    _folder: tempfile::TempDir,
}

/// Where Chromium is, if it is installed.
fn program() -> Option<PathBuf> {
    ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
}

impl Browser {
    /// Starts one; nothing where none is installed.
    pub(super) fn start(tmp: &Path) -> Option<Browser> {
        let program = program()?;
        let folder = tempfile::tempdir_in(tmp).unwrap();
        let pipe = |name: &str| {
            let path = folder.path().join(name);
            assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
            path
        };
        let (to, from) = (pipe("to"), pipe("from"));
        // Opened for both ways: nobody waits for the other side.
        let open = |path: &Path| OpenOptions::new().read(true).write(true).open(path).unwrap();
        let (tell, mut hear) = (open(&to), open(&from));
        let script = "exec \"$0\" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --disable-sync \
                      --disable-background-networking --disable-component-update --disable-default-apps --hide-scrollbars \
                      --force-color-profile=srgb --host-resolver-rules='MAP * ~NOTFOUND, EXCLUDE 127.0.0.1' \
                      --user-data-dir=\"$1\" --remote-debugging-pipe about:blank 3<\"$2\" 4>\"$3\"";
        let child = Command::new("sh")
            .args(["-c", script])
            .arg(&program)
            .arg(folder.path().join("profile"))
            .args([&to, &from])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (send, answers) = sync_channel(4_096);
        std::thread::spawn(move || {
            let (mut rest, mut bytes) = (Vec::new(), vec![0; 64 * 1024]);
            while let Ok(read) = hear.read(&mut bytes) {
                rest.extend_from_slice(&bytes[..read]);
                while let Some(end) = rest.iter().position(|byte| *byte == 0) {
                    let message: Vec<u8> = rest.drain(..=end).collect();
                    let message = serde_json::from_slice(&message[..end]).unwrap();
                    if send.send(message).is_err() {
                        return;
                    }
                }
            }
        });
        let mut browser = Browser {
            child,
            tell,
            answers,
            session: String::new(),
            last: 0,
            requests: Vec::new(),
            complaints: Vec::new(),
            _folder: folder,
        };
        let target = browser.ask("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.ask("Target.attachToTarget", attach);
        session["sessionId"].as_str().unwrap().clone_into(&mut browser.session);
        for domain in ["Page.enable", "Network.enable", "Runtime.enable", "Log.enable"] {
            browser.ask(domain, json!({}));
        }
        Some(browser)
    }

    /// Asks, and waits for the answer.
    fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        self.tell.write_all(format!("{message}\0").as_bytes()).unwrap();
        let began = Instant::now();
        loop {
            let answer = self.answers.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{method}: no answer"));
            if answer["id"] == self.last {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.note(&answer);
            assert!(began.elapsed() < PATIENCE, "{method}: no answer");
        }
    }

    fn note(&mut self, happened: &Value) {
        let parameters = &happened["params"];
        match happened["method"].as_str() {
            Some("Network.requestWillBeSent") => {
                self.requests.push(parameters["request"]["url"].as_str().unwrap_or_default().to_owned());
            }
            Some("Runtime.exceptionThrown") => self.complaints.push(parameters["exceptionDetails"].to_string()),
            Some("Log.entryAdded") if parameters["entry"]["level"] == "error" => {
                let text = parameters["entry"].to_string();
                // A browser asks for it unasked.
                if !text.contains("favicon.ico") {
                    self.complaints.push(text);
                }
            }
            _ => {}
        }
    }

    /// Opens an address in a window of this size and scheme of colours.
    pub(super) async fn open(&mut self, address: &str, width: u32, height: u32, scheme: &str) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.ask("Emulation.setDeviceMetricsOverride", size);
        let scheme = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.ask("Emulation.setEmulatedMedia", scheme);
        // The same address with another fragment would load nothing.
        self.ask("Page.navigate", json!({ "url": "about:blank" }));
        self.ask("Page.navigate", json!({ "url": address }));
        self.until("document.readyState === 'complete' && typeof byId === 'function'").await;
    }

    /// What an expression is.
    pub(super) fn evaluate(&mut self, expression: &str) -> Value {
        let answer = self.ask("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true }));
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(super) async fn until(&mut self, expression: &str) {
        let began = Instant::now();
        while self.evaluate(expression) != true {
            if began.elapsed() > PATIENCE {
                let page = self.evaluate("document.body.innerText");
                panic!("never true: {expression}\n{}\n{:?}", page.as_str().unwrap_or_default(), self.complaints);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Presses a key.
    pub(super) fn press(&mut self, key: &str) {
        for kind in ["rawKeyDown", "keyUp"] {
            self.ask("Input.dispatchKeyEvent", json!({ "type": kind, "key": key, "code": key }));
        }
    }

    /// Takes a picture of what the window shows.
    pub(super) fn shoot(&mut self, file: &Path) {
        let picture = self.ask("Page.captureScreenshot", json!({ "format": "png" }));
        let bytes = base64::engine::general_purpose::STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        std::fs::write(file, &bytes).unwrap();
    }

    /// The addresses that the page asked.
    pub(super) fn requests(&self) -> &[String] {
        &self.requests
    }

    /// Errors of its script, and what its policy forbade.
    pub(super) fn complaints(&self) -> Vec<String> {
        self.complaints.clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}
