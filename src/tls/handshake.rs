//! The meaning of a failed handshake, and the setting that mends it.

use rustls::{AlertDescription, CertificateError, Error};
use std::io;

use super::Words;

/// What an error of any library means if a handshake of TLS is at the bottom of it: the cause, and what to do. `identity`
/// is whether the client showed a certificate.
pub fn explain(error: &(dyn std::error::Error + 'static), words: &Words, identity: bool) -> Option<String> {
    find(error).map(|error| meaning(error, words, identity))
}

/// The error of rustls in a chain. An `io::Error` gives what it wraps as its text, and only the cause of that as its source.
fn find<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<Error>() {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = wrapped.and_then(|inner| find(inner)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// What an error of rustls means.
pub(super) fn meaning(error: &Error, words: &Words, identity: bool) -> String {
    let Words { server, place, authority, certificate, key, .. } = words;
    match error {
        Error::InvalidMessage(_) => format!("the port does not speak TLS; {}", words.without_tls),
        Error::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
                "the certificate of {server} is from an authority that is not trusted; set {authority} in {place} to the \
                 authority that signed it"
            ),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                format!("the certificate of {server} has expired; renew it there, or correct the clock of this machine")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => format!(
                "the certificate of {server} is not valid yet; correct the clock of this machine, or the certificate"
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("the certificate of {server} is for another name{}; {}", names(why), words.rename)
            }
            CertificateError::Revoked => format!("the certificate of {server} is revoked; renew it there"),
            other => format!("the certificate of {server} cannot be used ({other}); replace it there"),
        },
        Error::NoCertificatesPresented => format!("{server} shows no certificate; give it one"),
        Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired | AlertDescription::NoCertificate => wanted(words),
            AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::HandshakeFailure
                if !identity =>
            {
                wanted(words)
            }
            AlertDescription::CertificateExpired => {
                format!("{server} says that the client certificate has expired; renew {certificate} in {place}")
            }
            AlertDescription::CertificateRevoked => {
                format!("{server} says that the client certificate is revoked; renew {certificate} in {place}")
            }
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
                if identity =>
            {
                format!(
                    "{server} does not take the client certificate ({alert:?}); set {certificate} and {key} in {place} to \
                     one that its authority signed"
                )
            }
            AlertDescription::ProtocolVersion => {
                format!("{server} speaks no version of TLS from 1.2 on; let it speak one")
            }
            AlertDescription::UnrecognisedName => {
                format!("{server} does not know the name that it was asked for; {}", words.rename)
            }
            other => format!("{server} ends the handshake of TLS ({other:?}); see its log"),
        },
        Error::PeerIncompatible(why) => {
            format!(
                "{server} and this client have no form of TLS in common ({why:?}); let {server} speak TLS 1.2 or 1.3"
            )
        }
        other => format!("TLS with {server} fails ({other}); see its log"),
    }
}

/// A server that wants a client's certificate and got none.
fn wanted(words: &Words) -> String {
    let Words { server, place, certificate, key, .. } = words;
    format!("{server} wants a client certificate, and none is given; set {certificate} and {key} in {place}")
}

/// The names in a certificate, where they are told.
fn names(why: &CertificateError) -> String {
    match why {
        CertificateError::NotValidForNameContext { presented, expected } if !presented.is_empty() => {
            format!(" than {} ({})", expected.to_str(), presented.join(", "))
        }
        CertificateError::NotValidForNameContext { expected, .. } => format!(" than {}", expected.to_str()),
        _ => String::new(),
    }
}
