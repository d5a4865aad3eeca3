//! The common part of publishers over HTTP: options, client, reading an answer, verdict.
//!
//! Redirects are not followed. Of a body so much is read as the caller wants to know. Addresses of the link (169.254.0.0/16,
//! `fe80::/10`: metadata services of clouds among them) are refused unless the URL says `link_local=true`.

mod answer;
mod certificates;
mod endpoint;
mod login;
mod options;
mod resolver;
mod secrets;

use chrono::Utc;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, Request, RequestBuilder, Response, StatusCode, Url};

pub(super) use self::certificates::told;
pub(super) use self::endpoint::Endpoint;
pub(super) use self::login::{Login, OPTIONS as LOGIN_OPTIONS};
use self::options::Version;
pub(super) use self::options::{OPTIONS, WebOptions, credentials};
pub(super) use self::resolver::is_link_local;
use self::resolver::names_link_local;
pub(super) use self::secrets::Secrets;
use super::outcome::Answer;

/// How much of an answer's body is read where nobody needs more, in bytes: to use the connection again, and to tell why.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// A client with what it must not tell.
pub(super) struct Web {
    client: Client,
    connect_retries: u32,
    /// Whether addresses of the link may be used.
    link_local: bool,
    secrets: Secrets,
}

/// What a server said.
#[derive(Debug)]
pub(super) struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, cut off where it is longer than was wanted.
    pub body: Vec<u8>,
    /// Whether that is all of the body.
    pub whole: bool,
}

impl Reply {
    /// What becomes of the records where the answer may say it in the rest of its body, which was not read.
    pub(super) fn unless_whole(&self) -> Option<Answer> {
        let cause = || format!("{}, with an answer of more than {} bytes", self.status, self.body.len());
        (!self.whole).then(|| Answer::Later { cause: cause(), after: None })
    }
}

impl Web {
    /// A client as the options say. `secrets` are taken out of everything that servers say.
    pub(super) fn new(options: &WebOptions, url: &Url, secrets: Secrets) -> Result<Web, Vec<String>> {
        let client = options.client(url.scheme() == "https", Version::Http1)?;
        Ok(Web::of(client, options, secrets))
    }

    /// The same for HTTP/2 and nothing else, as gRPC needs it.
    pub(super) fn http2(options: &WebOptions, url: &Url, secrets: Secrets) -> Result<Web, Vec<String>> {
        let client = options.client(url.scheme() == "https", Version::Http2)?;
        Ok(Web::of(client, options, secrets))
    }

    /// The same where it is not known yet whether the server speaks TLS.
    pub(super) fn to_anywhere(options: &WebOptions, secrets: Secrets) -> Result<Web, Vec<String>> {
        let client = |https| options.client(https, Version::Http1);
        let client = match client(true) {
            // On a machine without authorities it will do for http.
            Err(why) if !options.names_files() => client(false).map_err(|_| why)?,
            made => made?,
        };
        Ok(Web::of(client, options, secrets))
    }

    fn of(client: Client, options: &WebOptions, secrets: Secrets) -> Web {
        Web { client, connect_retries: options.max_retries, link_local: options.link_local, secrets }
    }

    /// A request, not yet sent.
    pub(super) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// Sends a request and reads the answer; `Err` is why there is none. Of a body at most `bytes_max` is read.
    pub(super) async fn ask(&self, request: RequestBuilder, bytes_max: usize) -> Result<Reply, Answer> {
        let sent = match request.build() {
            Ok(request) => self.send(request).await,
            Err(error) => Err(self.hidden(&told(&error))),
        };
        match sent {
            Ok(response) => self.read(response, bytes_max).await,
            Err(cause) => Err(Answer::Later { cause, after: None }),
        }
    }

    /// Sends a request; why there is no answer, without our secrets. The body is not yet read.
    pub(super) async fn send(&self, request: Request) -> Result<Response, String> {
        // The resolver sees names only.
        if !self.link_local && names_link_local(request.url()) {
            return Err("a link-local address; write link_local=true if that is meant".to_owned());
        }
        let mut retries = self.connect_retries;
        loop {
            // A body that is a stream cannot be sent twice; ours never is.
            let Some(this) = request.try_clone() else { return Err("the request cannot be repeated".to_owned()) };
            match self.client.execute(this).await {
                Err(error) if error.is_connect() && retries > 0 => retries -= 1,
                Err(error) => return Err(self.hidden(&told(&error))),
                Ok(response) => return Ok(response),
            }
        }
    }

    /// Reads an answer. One of success that breaks off may come from somebody on the way who has passed nothing on: it is none.
    /// Where success is denied, the status says enough.
    async fn read(&self, mut response: Response, bytes_max: usize) -> Result<Reply, Answer> {
        let (status, headers) = (response.status(), response.headers().clone());
        let (mut body, mut whole) = (Vec::new(), false);
        while body.len() < bytes_max && !whole {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk[..chunk.len().min(bytes_max - body.len())]),
                Ok(None) => whole = true,
                Err(error) if status.is_success() => {
                    let cause = format!("{status}, and the answer breaks off: {}", self.hidden(&told(&error)));
                    return Err(Answer::Later { cause, after: None });
                }
                Err(_) => break,
            }
        }
        Ok(Reply { status, headers, body, whole })
    }

    /// Sends a request; what becomes of the records in it, by the [usual verdict](Web::verdict).
    pub(super) async fn post(&self, request: RequestBuilder) -> Answer {
        match self.ask(request, BODY_BYTES_MAX).await {
            Ok(reply) => self.verdict(&reply),
            Err(answer) => answer,
        }
    }

    /// What an answer means where the receiver has no rules of its own.
    pub(super) fn verdict(&self, reply: &Reply) -> Answer {
        answer::judge(reply, &self.secrets, Utc::now())
    }

    /// The status and what the server said, in one line without our secrets, for a cause.
    pub(super) fn cause(&self, reply: &Reply) -> String {
        answer::cause(reply, &self.secrets)
    }

    /// A text without our secrets.
    pub(super) fn hidden(&self, text: &str) -> String {
        self.secrets.hidden_in(text)
    }
}

/// Whether somebody listens there; what they would say to a request is not asked.
pub(super) async fn reach(url: &Url) -> Result<(), String> {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return Ok(()) };
    // A URL has an IPv6 address in brackets.
    let host = host.trim_matches(['[', ']']);
    let connected = tokio::net::TcpStream::connect((host, port)).await;
    connected.map(drop).map_err(|error| format!("cannot connect to {host}:{port}: {error}"))
}
