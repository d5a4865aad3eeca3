//! The history of a queue: its newest moves, each written by the member that claims the queue.

use super::Epoch;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// Moves of a queue that are kept.
pub const MOVES_MAX: usize = 16;

/// A queue came to a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// To whom.
    pub member: String,
    /// With which epoch.
    pub epoch: Epoch,
    /// From whom, if anybody is known to have had it.
    pub from: Option<String>,
    /// Why, as the claimer saw it.
    pub reason: Reason,
    /// When, RFC 3339, UTC.
    pub at: String,
}

/// Why a queue moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// Nobody is known to have had it.
    First,
    /// Its owner took it anew, after a lost broker session or because it came back.
    Again,
    /// Its former owner is no member any more.
    Lost,
    /// The claimer has joined since.
    Joined,
    /// Between two members that were there before: an operator, or what others' coming and going changed.
    Moved,
}

impl Reason {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Reason::First => "first",
            Reason::Again => "again",
            Reason::Lost => "lost",
            Reason::Joined => "joined",
            Reason::Moved => "moved",
        }
    }
}

/// The member that claims a queue.
pub(super) struct Claimer<'a> {
    pub(super) member: &'a str,
    /// At which revision it joined.
    pub(super) joined: i64,
    pub(super) epoch: Epoch,
    pub(super) now: DateTime<Utc>,
}

/// The moves, newest first, with the newest added. Of one owner's taking it again and again the last one is kept.
pub(super) fn add(mut moves: Vec<Move>, claimer: &Claimer<'_>, is_member: impl Fn(&str) -> bool) -> Vec<Move> {
    let reason = match moves.first() {
        None => Reason::First,
        Some(last) if last.member == claimer.member => Reason::Again,
        Some(last) if !is_member(&last.member) => Reason::Lost,
        Some(last) if claimer.joined > last.epoch => Reason::Joined,
        Some(_) => Reason::Moved,
    };
    let from = moves.first().map(|last| last.member.clone());
    if reason == Reason::Again && moves.first().is_some_and(|last| last.reason == Reason::Again) {
        moves.remove(0);
    }
    let at = claimer.now.to_rfc3339_opts(SecondsFormat::Millis, true);
    moves.insert(0, Move { member: claimer.member.to_owned(), epoch: claimer.epoch, from, reason, at });
    moves.truncate(MOVES_MAX);
    moves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_goes_around_and_its_newest_moves_say_why() {
        let mut moves = Vec::new();
        // Member, when it joined, epoch; c is no member any more.
        for (member, joined, epoch) in
            [("a", 1, 2), ("a", 1, 3), ("a", 1, 4), ("b", 5, 6), ("c", 3, 7), ("a", 1, 8), ("c", 9, 10)]
        {
            let claimer = Claimer { member, joined, epoch, now: DateTime::UNIX_EPOCH };
            moves = add(moves, &claimer, |id| id != "c");
        }
        let told: Vec<String> = moves
            .iter()
            .map(|m| format!("{} {} {} {}", m.member, m.epoch, m.from.as_deref().unwrap_or("-"), m.reason.name()))
            .collect();
        assert_eq!(told, ["c 10 a joined", "a 8 c lost", "c 7 b moved", "b 6 a joined", "a 4 a again", "a 2 - first"]);
        assert_eq!(moves[0].at, "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let moves = (0..100).fold(Vec::new(), |moves, epoch| {
            let member = if epoch % 2 == 0 { "a" } else { "b" };
            add(moves, &Claimer { member, joined: 0, epoch, now: DateTime::UNIX_EPOCH }, |_| true)
        });
        assert_eq!(moves.len(), MOVES_MAX);
        assert_eq!((moves[0].epoch, moves[15].epoch), (99, 84));
    }
}
