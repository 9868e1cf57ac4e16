//! Many people at once, each of whom must read their own rows and nobody else's: for long, and while things break.

mod crowd;
mod steady;
mod turmoil;
