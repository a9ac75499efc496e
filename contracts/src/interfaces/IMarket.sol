// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMarketBase} from "./IMarketBase.sol";

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
interface IMarket is IMarketBase {
    /* ------------------------------------------------------------------ ledger */

    /// @notice Move `amount` from the caller's token balance into its free balance; credits what arrived.
    function deposit(uint256 amount) external;
    /// @notice As `deposit`, credited to `account`.
    function depositFor(address account, uint256 amount) external;
    /// @notice As `deposit`, with an EIP-2612 permit. A permit somebody already used does not block it (P1.3).
    function depositWithPermit(uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
    /// @notice Pull `amount` of the caller's free balance to `to`.
    function withdraw(address to, uint256 amount) external;

    /* -------------------------------------------------------------------- jobs */

    /// @notice Escrow lanes * cap + n * f + bond from the caller's free balance. Caller must be `terms.requester`.
    function post(JobTerms calldata terms) external returns (bytes32 job);
    /// @notice Bind the winning bids (1 to `terms.lanes`), lane i to bids[i]; one split per job. Only the requester.
    function accept(JobTerms calldata terms, Bid[] calldata bids, bytes[] calldata signatures) external;
    /// @notice `post` and `accept` in one call (P2.5).
    function open(JobTerms calldata terms, Bid[] calldata bids, bytes[] calldata signatures)
        external
        returns (bytes32 job);
    /// @notice The requester takes an Open job back, whole.
    function cancel(bytes32 job) external;
    /// @notice Anyone, from the deadline of Open on: everything back to the requester.
    function expire(bytes32 job) external;
    /// @notice The caller's bids with this nonce can no longer be accepted.
    function cancelBid(uint256 nonce) external;
    /// @notice One word per lane: keccak256(abi.encode(job, provider, weightsHash, sealedHash, sha256(b), sha256(envelope of a)))
    /// or NO_KEYS (P4.4, P4.5). The last lane starts round 1.
    function submit(bytes32 job, uint8 lane, bytes32 word) external;
    /// @notice Anyone, from the deadline on: moves a Running, Committing or Revealing job on, whoever is absent (P3); and a
    /// Scored one whose demand ran out. It decides and never pays: a job that is over is Scored, with its outcome set and its
    /// deadline now, and `settle` pays at once.
    function close(bytes32 job) external;

    /* ------------------------------------------------------------------ rounds */

    /// @notice Anyone, before the deadline: store the seed and the drawn seats of the present round, or reseed once if the hash
    /// is gone (P5.3).
    function pin(bytes32 job) external;
    /// @notice The hot key of the seat at `place` commits to its vote; the first commit pins. All n end the stage.
    function commit(bytes32 job, uint256 place, bytes32 hash) external;
    /// @notice Anyone who knows the salt opens a commit. `vote`: eight 32-bit lanes, lane 0 in the lowest bits (P3.1).
    function reveal(bytes32 job, uint256 place, bytes32 vote, bytes32 evidence, bytes32 salt) external;
    /// @notice Requester, a provider, or the hot key at `place` of the round asks for a bigger round, with a bond (P3.6).
    function appeal(bytes32 job, uint256 place) external;
    /// @notice Anyone, from the deadline of Scored on: pays everybody, whatever the outcome (P3.3, P3.4). No external call.
    function settle(JobTerms calldata terms) external;

    /* ------------------------------------------------------- demand and answer */

    /// @notice Ask `party` (lane, or REQUESTER) for what it owes in this stage (P4.5). `place` is used if the caller is a seat.
    function demand(bytes32 job, uint8 party, uint256 place) external;
    /// @notice The demanded party puts its envelopes on chain; the stage's deadline starts again.
    function answer(bytes32 job, uint8 party, bytes calldata envelopes) external;
    /// @notice Emit a message. Stateless.
    function announce(bytes calldata message) external;

    /* ------------------------------------------------------------------- seats */

    /// @notice Turn S * count of the caller's free balance into seats; the caller is their cold key.
    function stake(uint256 count, address hot, bytes32 wrapKey) external returns (uint32 firstSeat);
    function rotate(uint32 seat, address hot, bytes32 wrapKey) external;
    /// @notice Begin to leave; the stake stays slashable until `unstake`.
    function exit(uint32 seat) external;
    /// @notice After the exit delay: what is left of the stake to the cold key's free balance.
    function unstake(uint32 seat) external;

    /* ------------------------------------------------------------------- views */

    function NO_KEYS() external view returns (bytes32);
    function REQUESTER() external view returns (uint8);
    function token() external view returns (address);
    function beacon() external view returns (address);
    function seatStake() external view returns (uint96);
    function minimumFee() external view returns (uint96);
    function exitDelay() external view returns (uint40);
    function limits() external view returns (Limits memory);
    function free(address account) external view returns (uint256);
    function burned() external view returns (uint256);
    /// @notice Sum of all job escrows and all stakes: with `burned` and all `free` it is the token balance (P1.4).
    function locked() external view returns (uint256);
    function seatCount() external view returns (uint32);
    function liveSeats() external view returns (uint32);
    function hashTerms(JobTerms calldata terms) external view returns (bytes32 job);
    function hashBid(Bid calldata bid) external view returns (bytes32 digest);
    function bidSpent(address provider, uint256 nonce) external view returns (bool);
    function getJob(bytes32 job) external view returns (JobView memory);
    function getLane(bytes32 job, uint8 lane) external view returns (address provider, uint96 price, bytes32 word);
    /// @notice What is left of a lane once its job is settled, for registries to build on (P7.2).
    /// @return state nothing else is meaningful unless it is Settled
    /// @return outcome Measured: a committee voted; Agreed: the parties did
    /// @return provider who made it
    /// @return word what was submitted (P4.4), zero if nothing was
    /// @return score final score in ppm, or a code above 0xFFFFFF00 (P3.1)
    /// @return paid whether the lane was paid anything, and so has an artifact: `Artifact` was emitted for it
    function settledLane(bytes32 job, uint8 lane)
        external
        view
        returns (State state, Outcome outcome, address provider, bytes32 word, uint32 score, bool paid);
    function getRound(bytes32 job, uint8 round) external view returns (RoundView memory);
    function getVote(bytes32 job, uint8 round, uint256 place) external view returns (bytes32 commitOrVote);
    function getSeat(uint32 seat) external view returns (Seat memory);
    /// @notice The draw of the present round, whether pinned or not; reverts if the seed is not ready (P5.2).
    function committee(bytes32 job) external view returns (bytes32 seed, uint32[] memory seats);
}
