//! The expressions of transformers, `scale` and `expr`: Python's grammar of one value, without calls (Ceilometer
//! reference §5.4).
//!
//! An [`Expression`] is parsed once, when the plan is read; evaluating looks at samples and nothing else, and ends after
//! a bounded number of steps. Never here: names that do anything, I/O, loops.

mod eval;
mod parse;
mod scope;
mod tokens;
mod tree;

pub(crate) use scope::Seed;
pub(crate) use tokens::Meters;

use crate::model::Value;
use crate::model::python::Raised;
use scope::Scope;
use tree::Tree;

/// An expression that can be evaluated.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expression {
    written: Box<str>,
    tree: Tree,
}

/// Why a text is no expression, and where (in characters, from 1, of the text as it is written).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}, at character {at}")]
pub(crate) struct SyntaxError {
    pub(crate) why: String,
    pub(crate) at: usize,
}

/// Why an expression has no value for a sample, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot evaluate {written:?}, at character {at}: {raised}")]
pub(crate) struct EvaluationError {
    pub(crate) written: Box<str>,
    pub(crate) at: usize,
    pub(crate) raised: Raised,
}

impl Expression {
    /// Reads an expression in which a sample's fields are names.
    pub(crate) fn of_fields(written: &str) -> Result<Expression, SyntaxError> {
        let tree = parse::parse(written).map_err(|(why, at)| position(written, why, at))?;
        Ok(Expression { written: written.into(), tree })
    }

    /// Reads an expression in which `$(meter.name)` stands for a sample of that meter, or for its volume where no `.`
    /// follows; and the meters in the order of their first use.
    pub(crate) fn of_meters(written: &str) -> Result<(Expression, Meters), SyntaxError> {
        let (text, meters) = Meters::find(written);
        let parsed = parse::parse(&text.plain);
        let tree = parsed.map_err(|(why, at)| position(written, why, text.written_at(at)))?;
        let tree = tree.moved(&|at| text.written_at(at));
        Ok((Expression { written: written.into(), tree }, meters))
    }

    /// The value for some samples; an exception where Python has one, or where it is no value of JSON.
    pub(crate) fn evaluate(&self, seed: Seed<'_>) -> Result<Value, EvaluationError> {
        let mut scope = Scope::new(seed);
        eval::evaluate(&self.tree, &mut scope).map_err(|(raised, at)| {
            let SyntaxError { at, .. } = position(&self.written, String::new(), at);
            EvaluationError { written: self.written.clone(), at, raised }
        })
    }
}

/// From a byte to a character that a person can count to.
fn position(written: &str, why: String, at: usize) -> SyntaxError {
    let before = written.char_indices().take_while(|(byte, _)| *byte < at).count();
    SyntaxError { why, at: before + 1 }
}

#[cfg(test)]
mod tests;
