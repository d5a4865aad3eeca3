//! What a path means, as a tree.

use crate::model::Value;
use crate::model::python::{Comparison, Operator, Pattern, Raised, Substitution};

/// A path, or a part of one (Ceilometer reference, Appendix A).
#[derive(Debug, Clone)]
pub(super) enum Tree {
    /// `$`: the outermost object; for a computed value, that value.
    Root,
    /// `@`, `` `this` ``.
    This,
    /// `` `parent` ``.
    Parent,
    /// `name`, `a,b`, `['name']`.
    Members(Box<[Name]>),
    /// `*`, or a list of names with a quoted `*` among them.
    Every,
    /// `[n]`; numbers past 64 bits are cut to them, which no list can tell.
    Index(i64),
    /// `[*]`, `[a:b]`.
    Slice(Option<i64>, Option<i64>),
    /// `a.b`, `a[…]`.
    Child(Box<Tree>, Box<Tree>),
    /// `a..b`.
    Descendants(Box<Tree>, Box<Tree>),
    /// `a where b`.
    Where(Box<Tree>, Box<Tree>),
    /// `a|b`.
    Union(Box<Tree>, Box<Tree>),
    /// `a & b`: raises. The sides are of no account.
    Intersect,
    /// `[?…]`.
    Filter(Box<[Condition]>),
    /// `` `sorted` ``, `[/a, \b]`: the keys, each with whether it is descending.
    Sorted(Box<[(Tree, bool)]>),
    /// `` `len` ``.
    Len,
    /// `` `split(c, segment, max)` ``.
    Split { separator: char, segment: usize, max: Option<usize> },
    /// `` `sub(/re/, replacement)` ``.
    Sub(Box<Substitution>),
    /// `a + b`.
    Arithmetic(Operand, Operator, Operand),
}

/// A member's name, and where the members of the older, flat notifications are today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    /// As written.
    pub(super) text: Box<str>,
    /// If the root has no such member: which member of it has what under which name.
    pub(super) today: Option<(&'static str, Box<str>)>,
}

/// The names that may come at each step of a walk.
pub(super) type Walk = Box<[Box<[Name]>]>;

/// One side of an arithmetic operation.
#[derive(Debug, Clone)]
pub(super) enum Operand {
    /// A number, or a single name, which is text here.
    Literal(Value),
    /// A path.
    Path(Box<Tree>),
}

/// One condition of a filter.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    /// What is looked at.
    pub(super) target: Tree,
    /// What must hold; a path alone need only match.
    pub(super) test: Option<Test>,
}

/// What must hold of a value that is not null.
#[derive(Debug, Clone)]
pub(super) struct Test {
    /// Whether the value is taken as an integer first.
    pub(super) coerced: bool,
    /// The relation.
    pub(super) relation: Relation,
    /// What is compared with.
    pub(super) literal: Value,
}

/// The relation of a test.
#[derive(Debug, Clone)]
pub(super) enum Relation {
    /// `=`, `==`
    Equal,
    /// `!=`
    Unequal,
    /// `<` and its kin.
    Ordered(Comparison),
    /// `~`: what a pattern that does not compile raises comes at its use.
    Matches(Result<Box<Pattern>, Raised>),
}

impl Tree {
    /// Whether matches must know what contains them: `parent`, or a `$` that is not where the path begins.
    pub(super) fn climbs(&self) -> bool {
        self.climbs_from(true)
    }

    fn climbs_from(&self, beginning: bool) -> bool {
        match self {
            Tree::Root => !beginning,
            Tree::Parent => true,
            Tree::Child(left, right) | Tree::Descendants(left, right) | Tree::Where(left, right) => {
                left.climbs_from(beginning) || right.climbs_from(false)
            }
            Tree::Union(left, right) => left.climbs_from(beginning) || right.climbs_from(beginning),
            Tree::Arithmetic(left, _, right) => [left, right].into_iter().any(|operand| match operand {
                Operand::Path(path) => path.climbs_from(beginning),
                Operand::Literal(_) => false,
            }),
            // What stands in brackets begins anew at each item.
            Tree::Filter(conditions) => conditions.iter().any(|condition| condition.target.climbs()),
            Tree::Sorted(keys) => keys.iter().any(|(key, _)| key.climbs()),
            _ => false,
        }
    }

    /// The names of a bare `a.b.c`, perhaps with a `$` before it: nearly all paths are such.
    pub(super) fn bare_names(&self) -> Option<Vec<Name>> {
        match self {
            Tree::Members(names) => <&[Name; 1]>::try_from(&**names).ok().map(|names| names.to_vec()),
            Tree::Child(left, right) => {
                let mut names = if matches!(**left, Tree::Root) { Vec::new() } else { left.bare_names()? };
                let Tree::Members(last) = &**right else { return None };
                names.extend(<&[Name; 1]>::try_from(&**last).ok()?.iter().cloned());
                Some(names)
            }
            _ => None,
        }
    }

    /// Where the path is a union of plain walks (`(a.b)|(c.d)`, `a.b|c.d`): the walks in order, each the names that may come
    /// at each step. `None` for every other, and for one that would try more than `WALKS_MAX` ways.
    pub(super) fn walks(&self) -> Option<Vec<Walk>> {
        const WALKS_MAX: usize = 64;
        let mut walks = Vec::new();
        self.collect_walks(&mut walks)?;
        let ways = |walk: &Walk| walk.iter().fold(1, |ways: usize, names| ways.saturating_mul(names.len()));
        let all = walks.iter().map(ways).fold(0, usize::saturating_add);
        (all <= WALKS_MAX).then_some(walks)
    }

    fn collect_walks(&self, walks: &mut Vec<Walk>) -> Option<()> {
        if let Some(steps) = self.steps(true) {
            walks.push(steps.into_iter().map(Vec::into_boxed_slice).collect());
            return Some(());
        }
        let Tree::Union(left, right) = self else { return None };
        left.collect_walks(walks)?;
        right.collect_walks(walks)
    }

    /// The names of each step of a plain walk. A `$` that is not where the path begins goes back to the root.
    fn steps(&self, beginning: bool) -> Option<Vec<Vec<Name>>> {
        match self {
            Tree::Members(names) => Some(vec![names.to_vec()]),
            // Only of single steps: the second step of `a.b|c` belongs to the first name alone.
            Tree::Union(left, right) => {
                let [mut names] = <[Vec<Name>; 1]>::try_from(left.steps(beginning)?).ok()?;
                let [others] = <[Vec<Name>; 1]>::try_from(right.steps(beginning)?).ok()?;
                names.extend(others);
                Some(vec![names])
            }
            Tree::Child(left, right) => {
                let at_root = beginning && matches!(**left, Tree::Root);
                let mut steps = if at_root { Vec::new() } else { left.steps(beginning)? };
                steps.extend(right.steps(false)?);
                Some(steps)
            }
            _ => None,
        }
    }

    /// Adds the names of the root members that the path begins with. `None` where it may begin with any.
    pub(super) fn begins_with<'t>(&'t self, names: &mut Vec<&'t Name>) -> Option<()> {
        match self {
            Tree::Members(members) => {
                names.extend(members);
                Some(())
            }
            Tree::Child(left, right) if matches!(**left, Tree::Root | Tree::This) => right.begins_with(names),
            Tree::Child(left, _) | Tree::Where(left, _) => left.begins_with(names),
            Tree::Union(left, right) => {
                left.begins_with(names)?;
                right.begins_with(names)
            }
            Tree::Arithmetic(left, _, right) => [left, right].into_iter().try_for_each(|operand| match operand {
                Operand::Path(path) => path.begins_with(names),
                Operand::Literal(_) => Some(()),
            }),
            Tree::Root
            | Tree::This
            | Tree::Parent
            | Tree::Every
            | Tree::Index(_)
            | Tree::Slice(..)
            | Tree::Descendants(..)
            | Tree::Intersect
            | Tree::Filter(_)
            | Tree::Sorted(_)
            | Tree::Len
            | Tree::Split { .. }
            | Tree::Sub(_) => None,
        }
    }

    /// Lets the names of root members find what the flat notifications of the older releases had there
    /// (`_context_user_id`, `message_id`, `timestamp`). Whether `priority` is among them, which is nowhere today.
    pub(super) fn see_flat_members(&mut self) -> bool {
        match self {
            Tree::Members(names) => {
                for name in names.iter_mut() {
                    name.today = match &*name.text {
                        "message_id" | "timestamp" => Some(("metadata", name.text.clone())),
                        text => text.strip_prefix("_context_").map(|rest| ("ctxt", rest.into())),
                    };
                }
                names.iter().any(|name| &*name.text == "priority")
            }
            Tree::Child(left, right) if matches!(**left, Tree::Root | Tree::This) => right.see_flat_members(),
            Tree::Child(left, _) | Tree::Descendants(left, _) | Tree::Where(left, _) => left.see_flat_members(),
            Tree::Union(left, right) => left.see_flat_members() | right.see_flat_members(),
            Tree::Arithmetic(left, _, right) => {
                let see = |operand: &mut Operand| match operand {
                    Operand::Path(path) => path.see_flat_members(),
                    Operand::Literal(_) => false,
                };
                see(left) | see(right)
            }
            _ => false,
        }
    }
}
