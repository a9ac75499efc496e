// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMarketBack} from "./IMarketBack.sol";
import {IMarketFront} from "./IMarketFront.sol";

/// @title The market: jobs, lanes, seats and the ledger that pays for them
/// @notice A requester pays only for a score that staked strangers measured, on data nobody could have trained on.
/// The clauses cited here (`P4.2`) are those of docs/protocol.md.
/// @dev Money: all amounts are in the token's smallest unit. Time: windows and deadlines are in seconds (unix time),
/// seeds are in blocks. Scores: parts per million in the metric's own offset and direction.
/// @dev Trust assumptions about the token, which is fixed at deployment (P1.2):
/// - it takes no fee on transfer and never rebases (deposits credit the measured difference, so a fee is merely not credited);
/// - it may return false, nothing, or revert; it may block a payee: only that payee's `withdraw` then fails;
/// - it may re-enter: no function that calls it has effects left to do.
/// @dev Warning: whoever controls the beacon, or (by default) the block hash, can bias draws within the bounds of P10.
/// @dev One contract may have 24,576 bytes (EIP-170), so that two halves of code serve one address and one storage.
interface IMarket is IMarketFront, IMarketBack {}
