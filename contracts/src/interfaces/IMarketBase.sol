// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title What the market says: its types, events and errors
/// @notice Amounts are in the token's smallest unit, windows and deadlines in seconds (unix time), seeds in blocks, scores in
/// parts per million in the metric's own offset and direction. Clauses cited (`P4.2`) are those of docs/protocol.md.
interface IMarketBase {
    /* ------------------------------------------------------------------ types */

    /// @notice Where a job stands (P3). The words are the same in contract, Python, API, CLI and docs.
    enum State {
        None, // never posted
        Open, // posted, waits for `accept`
        Running, // providers bound, waits for one `submit` per lane
        Committing, // committee drawn from the seed block, waits for commits
        Revealing, // commits ended, waits for reveals
        Scored, // a majority stands in every lane, the challenge runs
        Settled // final: nothing is locked any more, see Outcome
    }

    /// @notice How a job ended.
    enum Outcome {
        None, // not final yet
        Measured, // a committee's majority decided
        Agreed, // requester and all providers signed the outcome (P6.1)
        Cancelled, // requester cancelled before accept
        Expired, // nobody was accepted in the bid window
        Unsubmitted, // no provider submitted anything
        TrainingKeysWithheld, // requester was demanded and did not answer while Running
        HeldOutKeysWithheld, // requester was demanded and did not answer while Committing
        Void // no round found a majority
    }

    /// @notice What a ledger movement of a job was for: the rows of the money table (P1.4).
    enum Purpose {
        Payout, // to a provider, for a lane
        Royalty, // to a parent's payee, out of the provider's payout
        Fee, // to a seat's cold address
        Refund, // to the requester: what was escrowed and not spent
        Bond, // the requester's bond, back or to whom it compensates
        Collateral, // a provider's collateral, back or to the requester
        AppealBond, // an appellant's bond, back, once over, or to the other side
        Burned // slashed money nobody may gain from
    }

    /// @notice An artifact this job builds on; `payee` receives `bps` of every payout (P7.3).
    struct Parent {
        bytes32 artifact; // id of the parent artifact
        address payee;
        uint16 bps; // basis points of the provider's payout
    }

    /// @notice Everything the requester promises. `jobId` is its EIP-712 hash under chain id and market (P2.1).
    struct JobTerms {
        address requester;
        bytes32 wrapKey; // X25519 public key to which envelopes for the requester are made
        uint8 lanes; // 1 to 8
        uint96 priceCap; // greatest bid per lane
        uint32 floor; // ppm; below it (above it, for lower-is-better) a lane is not paid
        uint32 target; // ppm; pays the whole bid. target < floor means lower is better
        uint32 floorPay; // ppm of the bid paid at the floor
        uint16 metric; // id of the metric (docs/protocol.md)
        bytes32 scorer; // keccak256 of the scorer's id, e.g. "score-v0"
        uint64 operationCap; // scorer operations for one lane
        uint32 shardBytes; // size every shard is padded to
        uint64 weightsBytes; // greatest size of a weights file
        bytes32 taskHash; // SHA-256 of the canonical manifest (P2.3)
        bytes32 dataRoot; // SHA-256 of the flat list of shard leaves (P2.4)
        uint8 shards; // 16 to 64
        uint8 heldOut; // at least 4, at most half of the shards
        uint8 committee; // n: 3, 5 or 7
        uint96 fee; // f: per seat and round
        uint96 bond; // requester's bond
        uint96 collateral; // per lane, from the provider
        uint32 bidWindow; // seconds, as all windows
        uint32 workWindow;
        uint32 releaseWindow;
        uint32 commitWindow;
        uint32 revealWindow;
        uint32 challengeWindow;
        bytes32 salt;
        Parent[] parents; // at most 4, at most 2,000 basis points in sum
    }

    /// @notice A provider's offer for one lane, signed as EIP-712 (P8). ERC-1271 wallets may sign.
    struct Bid {
        bytes32 job;
        address provider;
        uint96 price;
        bytes32 wrapKey; // X25519 public key to which envelopes for this provider are made
        uint64 validUntil; // unix seconds, inclusive
        uint256 nonce; // unordered; `cancelBid` spends it
    }

    /// @notice One commit, opened (P3.5).
    struct Opening {
        uint8 place;
        bytes32 vote;
        bytes32 evidence;
        bytes32 salt;
    }

    /// @notice A lane as requester and providers agree that it ends (P6.1).
    struct AgreedLane {
        address provider;
        bytes32 word; // of what was delivered (P4.4); zero if nothing was
        uint32 score; // what they say it is worth: no committee measured it
        uint256 payout; // to the provider, royalties included
    }

    struct Window {
        uint32 least;
        uint32 greatest;
    }

    /// @notice The bounds of P1.5, fixed at construction. Nothing else is configurable.
    struct Limits {
        Window bid;
        Window work;
        Window release;
        Window commit;
        Window reveal;
        Window challenge;
        uint32 shardBytes; // greatest
        uint64 weightsBytes; // greatest
        uint64 operationsPerSecond; // lanes * operationCap <= this * commitWindow
    }

    /// @notice A job as stored, for readers.
    struct JobView {
        State state;
        Outcome outcome;
        uint8 lanes; // accepted lanes (terms.lanes before accept)
        uint8 committee; // n of round 1
        uint8 round; // 1 to 3; 0 before Committing
        uint40 deadline; // of the present stage, or of the pending demand
        uint40 stageStart; // when the present round's stage (or its restart) began; 0 outside rounds and when only `settle` is left
        uint40 acceptBlock; // the split's seed is the hash of acceptBlock + 2 (P4.1)
        uint40 seedBlock; // of the present round's committee
        uint32 seatCount; // fixed at accept, for all rounds
        uint8 submitted; // bit per lane
        uint8 missing; // bit per lane: not submitted, or forced by an unanswered demand
        uint16 demanded; // bit per party of this stage: lanes 0..7, REQUESTER is bit 8
        uint16 pending; // demanded and not yet answered
        uint8 demanders; // bit per lane whose provider demanded (Running, Scored)
        bytes32 result; // standing result word; zero before Scored
    }

    /// @notice A round as stored, for readers. Places index the committee; `seats[place]` is `type(uint32).max` if vacant.
    struct RoundView {
        uint8 size; // n, 2n+1 or 4n+3
        uint40 seedBlock; // zero for rounds before the present one
        bytes32 seed; // zero until pinned, and once the chain has forgotten the hash; Drawn keeps it
        uint32[] seats; // empty until pinned
        uint32 committed; // bit per place
        uint32 revealed; // bit per place
        bytes32 result; // zero if void or undecided
        address appellant; // zero if the round needs no bond
        uint96 appealBond;
    }

    /// @notice A seat: one unit of stake with one vote (P5.1).
    struct Seat {
        address hot; // commits, reveals, demands
        uint40 activeFrom; // block number from which it may be drawn (accept must be later)
        uint40 exitingAt; // block number of `exit`; zero while live
        address cold; // owns the stake and receives the fees
        uint96 stake; // what is left of S
    }

    /* ----------------------------------------------------------------- events */

    /// @notice `amount` is the measured balance difference.
    event Deposited(address indexed account, address indexed from, uint256 amount);
    event Withdrawn(address indexed account, address indexed to, uint256 amount);
    /// @notice The terms in full: a job is discoverable with the chain alone (P2.5).
    event Posted(bytes32 indexed job, address indexed requester, JobTerms terms);
    event Accepted(bytes32 indexed job, Bid[] bids, uint32 seatCount);
    event BidCancelled(address indexed provider, uint256 nonce);
    /// @notice Every change of state, round or deadline.
    event Moved(bytes32 indexed job, State state, uint8 round, uint40 deadline);
    event Submitted(bytes32 indexed job, address indexed provider, uint8 lane, bytes32 word);
    event Drawn(bytes32 indexed job, uint8 round, bytes32 seed, uint32[] seats);
    event Reseeded(bytes32 indexed job, uint8 round, uint40 seedBlock);
    event Committed(bytes32 indexed job, uint32 indexed seat, uint8 round, uint8 place, bytes32 hash);
    event Revealed(bytes32 indexed job, uint32 indexed seat, uint8 round, uint8 place, bytes32 vote, bytes32 evidence);
    event RoundScored(bytes32 indexed job, uint8 round, bytes32 result);
    event Demanded(bytes32 indexed job, uint8 indexed party, address by, uint40 deadline);
    /// @notice `envelopes` is the answer itself: delivery is a fact of the chain (P4.5).
    event Answered(bytes32 indexed job, uint8 indexed party, bytes envelopes, uint40 deadline);
    event Unanswered(bytes32 indexed job, uint8 indexed party);
    event Appealed(bytes32 indexed job, uint8 round, address indexed by, uint256 bond);
    /// @notice Money that came into the job: the escrow (as Refund: what may go back), a lane's collateral, an appeal bond.
    event Locked(bytes32 indexed job, address indexed from, Purpose indexed purpose, uint256 amount);
    /// @notice Money that left the job into somebody's free balance (or was burned, then `to` is zero).
    event Paid(bytes32 indexed job, address indexed to, Purpose indexed purpose, uint256 amount);
    /// @notice Money that came into the job out of a seat's stake.
    event Slashed(bytes32 indexed job, uint32 indexed seat, uint8 round, uint256 amount);
    /// @notice A lane's final score (or code) and what was paid for it, royalties included.
    event LaneSettled(bytes32 indexed job, uint8 indexed lane, address indexed provider, uint32 score, uint256 payout);
    event Settled(bytes32 indexed job, Outcome outcome, bytes32 result);
    /// @notice P7.1. `artifact` = keccak256(abi.encode(job, lane)); `word` commits to the weights hash (P4.4).
    event Artifact(
        bytes32 indexed artifact,
        bytes32 indexed job,
        address indexed maker,
        address owner,
        uint8 lane,
        bytes32 word,
        bytes32 taskHash,
        bytes32 dataRoot,
        uint32 score,
        bool measured
    );
    event Staked(uint32 indexed seat, address indexed cold, address indexed hot, bytes32 wrapKey);
    event Rotated(uint32 indexed seat, address indexed hot, bytes32 wrapKey);
    event Exiting(uint32 indexed seat, uint40 withdrawableAt);
    event Unstaked(uint32 indexed seat, address indexed cold, uint256 amount);
    /// @notice A channel for offers, bids and wrapped keys when every server is gone (P2.5). Stores nothing.
    event Announced(address indexed from, bytes message);

    /* ----------------------------------------------------------------- errors */

    error WrongState(bytes32 job, State state);
    error TooEarly(uint256 now_, uint256 deadline);
    error TooLate(uint256 now_, uint256 deadline);
    error NotRequester(address caller, address requester);
    error NotProvider(address caller, uint8 lane);
    error NotSeat(address caller, uint256 place);
    error NotCold(address caller, uint32 seat);
    error NotParty(address caller, bytes32 job);
    error InsufficientFree(address account, uint256 free, uint256 needed);
    error ZeroAmount();
    error ZeroAddress();
    error JobExists(bytes32 job);
    /// @notice `field` is the name of the term, e.g. "fee"; least and greatest are inclusive.
    error TermOutOfRange(bytes32 field, uint256 value, uint256 least, uint256 greatest);
    error BadCommitteeSize(uint8 committee);
    error FloorEqualsTarget(uint32 floor);
    error RoyaltiesTooHigh(uint256 bps);
    error WrongBidCount(uint256 bids, uint8 lanes);
    error BidForOtherJob(bytes32 job, bytes32 bidJob);
    error BidExpired(uint256 now_, uint64 validUntil);
    error BidSpent(address provider, uint256 nonce);
    error BidAboveCap(uint96 price, uint96 cap);
    error BadSignature(address signer);
    error DuplicateProvider(address provider);
    error NotAll(uint256 given, uint256 needed); // a batch or a set of signatures is whole or nothing
    error StakeTooSmall(uint256 value, uint256 greatest); // V <= S * (n+1) / 4
    error BondTooSmall(uint256 bond, uint256 least);
    error TooFewSeats(uint256 live, uint256 least);
    error JobTooPoor(bytes32 job, uint256 left, uint256 needed); // `agree`: the fees of its rounds
    error AlreadySubmitted(bytes32 job, uint8 lane);
    error ZeroWord();
    error KeysNotAnswered(bytes32 job); // NO_KEYS needs an answered demand
    error SeedNotReady(uint256 blockNumber, uint256 seedBlock);
    error SeedGone(uint256 seedBlock);
    error AlreadyDrawn(bytes32 job, uint8 round);
    error AlreadyCommitted(bytes32 job, uint8 round, uint256 place);
    error WrongReveal(bytes32 committed, bytes32 revealed);
    error NotCommitted(bytes32 job, uint8 round, uint256 place);
    error AlreadyRevealed(bytes32 job, uint8 round, uint256 place);
    error VoteOutOfRange(uint8 lane, uint32 value);
    error AlreadyDemanded(bytes32 job, uint8 party);
    error NothingDemanded(bytes32 job, uint8 party);
    error DemandTooLate(uint256 now_, uint256 half);
    error BadParty(uint8 party);
    error DemandPending(bytes32 job, uint16 pending);
    error LastRound(bytes32 job);
    error SeatNotLive(uint32 seat);
    error SeatNotExiting(uint32 seat);
    error BadLimits();
    error NotAMarket(); // a deposit into the second half of the code, which holds nobody's money
}
