//! From text to [`Tree`]: the parser of a maintained crate, and a choice of what it knows.

use super::tree::{Binary, Kind, Relation, Tree, Unary};
use crate::model::Value;
use crate::model::json::INTEGER_DIGITS_MAX;
use num_bigint::BigInt;
use rustpython_ruff_python_ast::{BoolOp, CmpOp, Expr, Number, Operator, UnaryOp};
use rustpython_ruff_python_parser::parse_expression;
use rustpython_ruff_text_size::Ranged as _;

/// The longest expression.
const TEXT_BYTES_MAX: usize = 4096;
/// The deepest nesting of brackets.
const BRACKETS_DEPTH_MAX: usize = 50;
/// The most words and operators: each can be one more level of what the parser does by recursion.
const TOKENS_MAX: usize = 500;

/// What is wrong, and at which byte.
type Wrong = (String, usize);

/// The tree of an expression, or what is wrong with it and at which byte.
pub(super) fn parse(text: &str) -> Result<Tree, Wrong> {
    bounded(text)?;
    // Python's eval() takes blanks in front.
    let blanks = text.len() - text.trim_start_matches([' ', '\t']).len();
    let source = &text[blanks..];
    if source.trim().is_empty() {
        return Err(("expected an expression".to_owned(), text.len()));
    }
    let parsed = parse_expression(source)
        .map_err(|error| (format!("not Python: {}", error.error), blanks + error.location.start().to_usize()))?;
    let expression = parsed.into_expr();
    chosen(&expression, &Source { text: source, blanks })
}

/// The parser works by recursion: what could nest too deep is refused before.
fn bounded(text: &str) -> Result<(), Wrong> {
    if text.len() > TEXT_BYTES_MAX {
        return Err((format!("longer than {TEXT_BYTES_MAX} bytes"), TEXT_BYTES_MAX));
    }
    let (mut depth, mut tokens, mut in_word) = (0_usize, 0_usize, false);
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        let word = c.is_alphanumeric() || c == '_' || !c.is_ascii();
        tokens += usize::from((word && !in_word) || "+-~*/%<>=!:@&|^,.".contains(c));
        in_word = word;
        if depth > BRACKETS_DEPTH_MAX {
            return Err((format!("nested deeper than {BRACKETS_DEPTH_MAX} brackets"), at));
        }
        if tokens > TOKENS_MAX {
            return Err((format!("more than {TOKENS_MAX} words and operators"), at));
        }
    }
    Ok(())
}

/// The text that was parsed, and how many bytes were cut off before it.
struct Source<'a> {
    text: &'a str,
    blanks: usize,
}

impl Source<'_> {
    fn at(&self, expression: &Expr) -> usize {
        self.blanks + expression.start().to_usize()
    }

    fn refused(&self, expression: &Expr, what: &str) -> Wrong {
        let text = format!("{what} cannot be used here; use numbers, strings, names, operators and `a if b else c`");
        (text, self.at(expression))
    }
}

/// The part of Python that means something for a sample.
fn chosen(expression: &Expr, source: &Source<'_>) -> Result<Tree, Wrong> {
    let boxed = |expression: &Expr| chosen(expression, source).map(Box::new);
    let all = |list: &[Expr]| list.iter().map(|one| chosen(one, source)).collect::<Result<Vec<_>, _>>();
    let kind = match expression {
        Expr::NumberLiteral(number) => Kind::Literal(number_value(&number.value, expression, source)?),
        Expr::StringLiteral(text) => Kind::Literal(Value::from(text.value.to_str())),
        Expr::BooleanLiteral(boolean) => Kind::Literal(Value::Bool(boolean.value)),
        Expr::NoneLiteral(_) => Kind::Literal(Value::Null),
        Expr::Name(name) => Kind::Name(plain_name(name.id.as_str(), expression, source)?),
        Expr::Attribute(attribute) => {
            let name = plain_name(attribute.attr.as_str(), expression, source)?;
            Kind::Attribute(boxed(&attribute.value)?, name)
        }
        Expr::Subscript(item) => Kind::Item(boxed(&item.value)?, boxed(&item.slice)?),
        Expr::UnaryOp(unary) => {
            let operator = match unary.op {
                UnaryOp::Not => Unary::Not,
                UnaryOp::UAdd => Unary::Plus,
                UnaryOp::USub => Unary::Minus,
                UnaryOp::Invert => return Err(source.refused(expression, "`~`")),
            };
            Kind::Unary(operator, boxed(&unary.operand)?)
        }
        Expr::BinOp(binary) => {
            let operator = binary_operator(binary.op)
                .ok_or_else(|| source.refused(expression, &format!("`{}`", binary.op.as_str())))?;
            Kind::Binary(operator, boxed(&binary.left)?, boxed(&binary.right)?)
        }
        Expr::Compare(compare) => {
            let relations = compare.ops.iter().map(|op| relation(*op));
            let rest = relations.zip(all(&compare.comparators)?).collect();
            Kind::Compare(boxed(&compare.left)?, rest)
        }
        Expr::BoolOp(both) => match both.op {
            BoolOp::And => Kind::And(all(&both.values)?),
            BoolOp::Or => Kind::Or(all(&both.values)?),
        },
        Expr::If(choice) => Kind::If(Box::new([
            chosen(&choice.test, source)?,
            chosen(&choice.body, source)?,
            chosen(&choice.orelse, source)?,
        ])),
        Expr::Call(_) => return Err(source.refused(expression, "a call")),
        Expr::FString(_) | Expr::TString(_) => return Err(source.refused(expression, "an f-string")),
        Expr::BytesLiteral(_) => return Err(source.refused(expression, "a bytes literal")),
        Expr::Lambda(_) => return Err(source.refused(expression, "a lambda")),
        Expr::Slice(_) => return Err(source.refused(expression, "a slice")),
        Expr::List(_) | Expr::Tuple(_) | Expr::Dict(_) | Expr::Set(_) => {
            return Err(source.refused(expression, "a list, tuple, dict or set"));
        }
        _ => return Err(source.refused(expression, "this kind of expression")),
    };
    // Of an operation, this is where its left operand begins: the parser does not say where the operator stands.
    Ok(Tree { at: source.at(expression), kind })
}

fn binary_operator(operator: Operator) -> Option<Binary> {
    Some(match operator {
        Operator::Add => Binary::Add,
        Operator::Sub => Binary::Subtract,
        Operator::Mult => Binary::Multiply,
        Operator::Div => Binary::Divide,
        Operator::FloorDiv => Binary::FloorDivide,
        Operator::Mod => Binary::Modulo,
        Operator::Pow => Binary::Power,
        Operator::MatMult
        | Operator::LShift
        | Operator::RShift
        | Operator::BitOr
        | Operator::BitXor
        | Operator::BitAnd => return None,
    })
}

fn relation(operator: CmpOp) -> Relation {
    match operator {
        CmpOp::Eq => Relation::Equal,
        CmpOp::NotEq => Relation::Unequal,
        CmpOp::Lt => Relation::Less,
        CmpOp::LtE => Relation::LessOrEqual,
        CmpOp::Gt => Relation::Greater,
        CmpOp::GtE => Relation::GreaterOrEqual,
        CmpOp::Is => Relation::Is,
        CmpOp::IsNot => Relation::IsNot,
        CmpOp::In => Relation::In,
        CmpOp::NotIn => Relation::NotIn,
    }
}

/// Names of Python's own machinery mean nothing here.
fn plain_name(name: &str, expression: &Expr, source: &Source<'_>) -> Result<Box<str>, Wrong> {
    if name.starts_with("__") {
        return Err(source.refused(expression, &format!("`{name}`")));
    }
    Ok(name.into())
}

fn number_value(number: &Number, expression: &Expr, source: &Source<'_>) -> Result<Value, Wrong> {
    match number {
        Number::Float(float) => Ok(Value::Float(*float)),
        Number::Complex { .. } => Err(source.refused(expression, "a complex number")),
        Number::Int(int) => {
            if let Some(small) = int.as_i64() {
                return Ok(Value::Int(small));
            }
            let (begin, end) = (expression.start().to_usize(), expression.end().to_usize());
            let digits = source.text.get(begin..end).unwrap_or_default().replace('_', "");
            let big = big_integer(&digits).filter(|_| digits.len() <= INTEGER_DIGITS_MAX);
            big.map(Value::integer).ok_or_else(|| ("cannot read this number".to_owned(), source.at(expression)))
        }
    }
}

/// An integer literal of any base, without underscores.
fn big_integer(text: &str) -> Option<BigInt> {
    let (radix, digits) = match text.get(..2) {
        Some("0x" | "0X") => (16, &text[2..]),
        Some("0o" | "0O") => (8, &text[2..]),
        Some("0b" | "0B") => (2, &text[2..]),
        _ => (10, text),
    };
    BigInt::parse_bytes(digits.as_bytes(), radix)
}
