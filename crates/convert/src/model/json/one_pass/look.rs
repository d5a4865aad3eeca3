//! Looking at a value without building it. It is for what was written here: between its tokens stands nothing.

use super::{DEPTH_MAX, Reader};
use crate::model::text::Text;

impl<'t> Reader<'t, false> {
    pub(in crate::model::json) fn at(&self) -> usize {
        self.at
    }

    /// The text from a place up to here.
    pub(in crate::model::json) fn share_from(&self, begin: usize) -> Option<Text> {
        self.text.share(begin..self.at)
    }

    /// The text of a value, between whose tokens there is no space. Keys that repeat in it are as good as any.
    pub(in crate::model::json) fn raw(&mut self, depth: usize) -> Option<&'t str> {
        let begin = self.at;
        self.pass(depth)?;
        self.text.get(begin..self.at)
    }

    fn pass(&mut self, depth: usize) -> Option<()> {
        let last = match self.peek()? {
            b'"' => return self.skip_string(),
            b'{' => b'}',
            b'[' => b']',
            _ => return self.value(depth).map(drop),
        };
        if depth > DEPTH_MAX {
            return None;
        }
        self.at += 1;
        if self.peek()? == last {
            return self.take(last);
        }
        loop {
            if last == b'}' {
                self.skip_string()?;
                self.take(b':')?;
            }
            self.pass(depth + 1)?;
            match self.next()? {
                b',' => {}
                end => return (end == last).then_some(()),
            }
        }
    }
}
