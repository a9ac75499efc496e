// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMarketBase} from "./IMarketBase.sol";

/// @title What few jobs call, and what readers ask: Resolution's code, run on Market's storage
interface IMarketBack is IMarketBase {
    /* ------------------------------------------------------------------ ledger */

    /// @notice Move `amount` from the caller's token balance into its free balance; credits what arrived.
    /// @dev Warning: a token that takes a fee on transfer credits less than `amount`.
    function deposit(uint256 amount) external;
    /// @notice As `deposit`, credited to `account`.
    function depositFor(address account, uint256 amount) external;
    /// @notice As `deposit`, with an EIP-2612 permit. A permit somebody already used does not block it (P1.3).
    function depositWithPermit(uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
    /// @notice Pull `amount` of the caller's free balance to `to`. Reverts `InsufficientFree`, `ZeroAmount`, `ZeroAddress`.
    /// @dev Warning: a token that blocks `to`, or is paused, makes this revert; the balance stays the caller's.
    function withdraw(address to, uint256 amount) external;
    function token() external view returns (address);
    /// @notice What an account could withdraw now.
    function free(address account) external view returns (uint256);
    /// @notice Slashed money that nobody may gain from: it stays in the contract for ever.
    function burned() external view returns (uint256);

    /* -------------------------------------------------------------------- jobs */

    /// @notice The requester takes an Open job back, whole.
    function cancel(JobTerms calldata terms) external;
    /// @notice Anyone, from the deadline of Open on: everything back to the requester.
    function expire(JobTerms calldata terms) external;
    /// @notice Anyone, from the deadline on: moves a Running, Committing or Revealing job on, whoever is absent (P3); and a
    /// Scored one whose demand ran out. It decides and never pays: a job that is over is Scored, with its outcome set and its
    /// deadline now, and `settle` pays at once.
    function close(bytes32 job) external;
    /// @notice Requester, a provider, or the hot key at `place` of the round asks for a bigger round, with a bond (P3.6).
    function appeal(JobTerms calldata terms, uint256 place) external;

    /// @notice Anyone: requester and all providers have signed how the job ends (P6.1). Good for a job that was never posted,
    /// which then costs the requester its payouts and nothing else, and in any state that is not final.
    /// @param lanes as they end; of a job that was accepted, all its lanes with their providers and submitted words
    /// @param validUntil unix seconds, inclusive
    /// Seats that committed have f each, in every round; nobody is slashed; collaterals and appeal bonds go back.
    /// @param signatures of the EIP-712 message Outcome by the requester, then by every lane's provider; whoever sends the call
    /// has signed it by that
    /// @dev Warning: an agreed score was measured by nobody; its artifact says so.
    function agree(JobTerms calldata terms, AgreedLane[] calldata lanes, uint64 validUntil, bytes[] calldata signatures)
        external;

    /* ------------------------------------------------------- demand and answer */

    /// @notice Ask `party` (lane, or REQUESTER) for what it owes in this stage (P4.5). `place` is used if the caller is a seat.
    function demand(JobTerms calldata terms, uint8 party, uint256 place) external;
    /// @notice The demanded party puts its envelopes on chain; the stage's deadline starts again.
    /// @dev Warning: the market cannot open envelopes. What was answered is judged by the seats, which recompute it (P4.5).
    function answer(JobTerms calldata terms, uint8 party, bytes calldata envelopes) external;
    /// @notice Emit a message. Stateless.
    function announce(bytes calldata message) external;

    /* ------------------------------------------------------------------- seats */

    /// @notice Turn S * count of the caller's free balance into seats; the caller is their cold key.
    /// @dev Warning: the hot key votes, and what it does wrong is slashed from the cold key's stake.
    function stake(uint256 count, address hot, bytes32 wrapKey) external returns (uint32 firstSeat);
    /// @notice Only the cold key: another hot key and another wrapping key.
    function rotate(uint32 seat, address hot, bytes32 wrapKey) external;
    /// @notice Begin to leave; the stake stays slashable until `unstake`.
    function exit(uint32 seat) external;
    /// @notice After the exit delay: what is left of the stake to the cold key's free balance.
    function unstake(uint32 seat) external;

    /* ------------------------------------------------------------------- views */

    function NO_KEYS() external view returns (bytes32);
    function REQUESTER() external view returns (uint8);
    function beacon() external view returns (address);
    function seatStake() external view returns (uint96);
    function minimumFee() external view returns (uint96);
    function exitDelay() external view returns (uint40);
    function limits() external view returns (Limits memory);
    function seatCount() external view returns (uint32);
    function liveSeats() external view returns (uint32);
    function hashTerms(JobTerms calldata terms) external view returns (bytes32 job);
    function hashBid(Bid calldata bid) external view returns (bytes32 digest);
    function bidSpent(address provider, uint256 nonce) external view returns (bool);
    function getJob(bytes32 job) external view returns (JobView memory);
    /// @notice All money the job of these terms holds now. With the stakes of all seats, `burned` and all `free` this is the
    /// token balance (P1.4).
    function heldFor(JobTerms calldata terms) external view returns (uint256);
    /// @notice A lane as bound; `price` is zero once the job is settled.
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
    /// @notice The vote at a place of a round; zero until it is revealed. Commits are in the events only.
    function getVote(bytes32 job, uint8 round, uint256 place) external view returns (bytes32 vote);
    function getSeat(uint32 seat) external view returns (Seat memory);
    /// @notice The draw of the present round, whether pinned or not; reverts if the seed is not ready (P5.2).
    function committee(bytes32 job) external view returns (bytes32 seed, uint32[] memory seats);
}
