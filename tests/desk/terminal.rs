//! A pseudo-terminal, made by `script`, and the screen that a program draws on it.

use crate::field::PATIENCE;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub(super) struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: Arc<Mutex<Screen>>,
}

impl Terminal {
    /// `nephoscope top` on a terminal of this size.
    pub(super) fn start(configuration: &str, columns: usize, rows: usize) -> Terminal {
        let program = env!("CARGO_BIN_EXE_nephoscope");
        let command = format!("stty cols {columns} rows {rows} && exec {program} top --config-file {configuration}");
        let mut child = Command::new("script")
            .args(["-q", "-f", "-e", "-c", &command, "/dev/null"])
            .env("TERM", "xterm-256color")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (keys, mut out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let screen = Arc::new(Mutex::new(Screen::new(columns, rows)));
        let drawn = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            let mut rest = Vec::new();
            while let Ok(read) = out.read(&mut bytes) {
                if read == 0 {
                    return;
                }
                rest.extend_from_slice(&bytes[..read]);
                let taken = drawn.lock().unwrap().draw(&rest);
                rest.drain(..taken);
            }
        });
        Terminal { child, keys, screen }
    }

    pub(super) async fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    /// Waits until a text is on the screen; the screen.
    pub(super) async fn until(&self, text: &str) -> String {
        let began = Instant::now();
        loop {
            let screen = self.screen.lock().unwrap().text();
            if screen.contains(text) {
                return screen;
            }
            assert!(began.elapsed() < PATIENCE, "{text:?} does not come:\n{screen}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the program has ended; its exit code.
    pub(super) async fn ended(&mut self) -> i32 {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let screen = self.screen.lock().unwrap();
                assert!(screen.left, "it did not give the terminal back");
                return status.code().unwrap_or(-1);
            }
            assert!(began.elapsed() < PATIENCE, "it does not end");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// As much of a terminal as is needed here: places, and what stands there.
struct Screen {
    cells: Vec<Vec<char>>,
    at: (usize, usize),
    /// Whether the other screen was left again.
    left: bool,
}

impl Screen {
    fn new(columns: usize, rows: usize) -> Screen {
        Screen { cells: vec![vec![' '; columns]; rows], at: (0, 0), left: false }
    }

    fn text(&self) -> String {
        let line = |cells: &Vec<char>| cells.iter().collect::<String>().trim_end().to_owned();
        self.cells.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// Draws what is whole of these bytes; how many they were.
    fn draw(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            if rest[0] == 0x1b {
                let Some(end) = rest.iter().skip(2).position(u8::is_ascii_alphabetic) else { break };
                let sequence = String::from_utf8_lossy(&rest[1..end + 3]).into_owned();
                self.obey(&sequence);
                at += end + 3;
                continue;
            }
            let length = match rest[0] {
                0..0x80 => 1,
                0xc0..0xe0 => 2,
                0xe0..0xf0 => 3,
                _ => 4,
            };
            let Some(text) = rest.get(..length) else { break };
            self.put(&String::from_utf8_lossy(text));
            at += length;
        }
        at
    }

    fn put(&mut self, text: &str) {
        for c in text.chars().filter(|c| !c.is_control()) {
            let (row, column) = self.at;
            if let Some(cell) = self.cells.get_mut(row).and_then(|cells| cells.get_mut(column)) {
                *cell = c;
            }
            self.at.1 += 1;
        }
    }

    fn obey(&mut self, sequence: &str) {
        let (row, column) = self.at;
        match sequence {
            "[K" => self.cells[row].iter_mut().skip(column).for_each(|cell| *cell = ' '),
            "[J" => {
                self.cells[row].iter_mut().skip(column).for_each(|cell| *cell = ' ');
                self.cells.iter_mut().skip(row + 1).flatten().for_each(|cell| *cell = ' ');
            }
            "[?1049l" => self.left = true,
            _ => {
                if let Some(place) = sequence.strip_prefix('[').and_then(|rest| rest.strip_suffix('H')) {
                    let mut numbers = place.split(';').map(|n| n.parse().unwrap_or(1));
                    let mut next = || numbers.next().unwrap_or(1) - 1;
                    self.at = (next(), next());
                    self.at.0 = self.at.0.min(self.cells.len() - 1);
                }
            }
        }
    }
}
