// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMarketBase} from "./IMarketBase.sol";

/// @title The value chain: who owns what a market's jobs made, and what owners ask of those who build on it (P7)
/// @notice An artifact is the weights of one paid lane. Its id, keccak256(abi.encode(job, lane)), names job, chain and market.
/// It is entered by whoever calls `claim` with the preimage of the word the market stored; its first owner is the requester.
/// @dev Warning: the registry holds no money and moves none. Royalties are paid by the market, out of the terms of the job that
/// pays them (P7.3); what is suggested here binds nobody, and a job that does not name a parent owes it nothing.
/// @dev Warning: owning an entry is not owning the weights. Whoever was sent the weights or drawn to score them has them (P10).
/// @dev Warning: a score binds requester and provider of its job only, who may be one person: measure again (P7.5).
interface IValueChain {
    /* ------------------------------------------------------------------ types */

    /// @notice What a provider's submit word commits to, beside job and provider (P4.4). All are SHA-256.
    struct Preimage {
        bytes32 weightsHash;
        bytes32 sealedHash;
        bytes32 halfBHash;
        bytes32 envelopeHash;
    }

    /// @notice An artifact as stored. `owner` is zero for one that nobody claimed.
    struct Entry {
        address owner;
        uint16 suggestedBps; // royalty the owner suggests, in basis points of a child's payout
        bytes32 weightsHash; // SHA-256 of the safetensors file
    }

    /* ----------------------------------------------------------------- events */

    /// @notice `outcome` tells how `score` came about: Measured by a committee, Agreed by the parties, or HeldOutKeysWithheld;
    /// a score of NO_DATA was never measured. Task, data and parents are in the market's `Posted` and `Artifact`.
    event Claimed(
        bytes32 indexed artifact,
        bytes32 indexed job,
        address indexed owner,
        uint8 lane,
        address maker,
        bytes32 weightsHash,
        uint32 score,
        IMarketBase.Outcome outcome
    );
    event Offered(bytes32 indexed artifact, address indexed from, address indexed to);
    event Transferred(bytes32 indexed artifact, address indexed from, address indexed to);
    event RoyaltySuggested(bytes32 indexed artifact, address indexed owner, uint16 bps);

    /* ----------------------------------------------------------------- errors */

    error NotSettled(bytes32 job, IMarketBase.State state);
    error NotPaid(bytes32 job, uint8 lane);
    error WrongPreimage(bytes32 submitted, bytes32 given);
    error AlreadyClaimed(bytes32 artifact, address owner);
    error NotOwner(address caller, address owner);
    error NotOffered(address caller, address offeredTo);
    error SuggestionTooHigh(uint16 bps, uint16 greatest);

    /* -------------------------------------------------------------- functions */

    /// @notice Anyone, once: enter what the paid `lane` (0 to 7) of a settled job made. The job's requester becomes its owner.
    /// Reverts with NotSettled (also for an id that is no job's), NotPaid, WrongPreimage, AlreadyClaimed.
    /// @dev Warning: it publishes the weights' hash. It neither shows nor proves that anybody can still open the weights.
    function claim(IMarketBase.JobTerms calldata terms, uint8 lane, Preimage calldata preimage)
        external
        returns (bytes32 artifact);
    /// @notice The owner offers an artifact to `to`, who becomes its owner by `take`; zero withdraws the offer. A transfer in two
    /// steps, since an address that cannot `take` could never pass it on.
    function offer(bytes32 artifact, address to) external;
    /// @notice Become the owner of an artifact offered to the caller. The suggested royalty stays until the new owner changes it.
    function take(bytes32 artifact) external;
    /// @notice The owner suggests `bps` of a child's payout, at most 2,000: what terms may name for all parents together.
    /// @dev Warning: the market never reads this. What a child pays, and to whom, is in the child's terms.
    function suggestRoyalty(bytes32 artifact, uint16 bps) external;

    /// @notice The market whose jobs are entered here.
    function market() external view returns (address);
    function entryOf(bytes32 artifact) external view returns (Entry memory);
    /// @notice To whom the owner offers the artifact; zero if to nobody.
    function offeredTo(bytes32 artifact) external view returns (address);
}
