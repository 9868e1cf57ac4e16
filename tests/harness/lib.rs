//! Real servers on free ports, and the gateway under test.
