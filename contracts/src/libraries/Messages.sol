// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMarketBase} from "../interfaces/IMarketBase.sol";

/// @title Messages: what parties sign and commit to (P8, P3.5)
/// @dev tests/vectors/{terms,bid,commit,submit}.json hold the same hashes for Solidity and Python.
library Messages {
    bytes32 internal constant PARENT_TYPEHASH = keccak256("Parent(bytes32 artifact,address payee,uint16 bps)");
    bytes32 internal constant TERMS_TYPEHASH = keccak256(
        "JobTerms(address requester,bytes32 wrapKey,uint8 lanes,uint96 priceCap,uint32 floor,uint32 target,"
        "uint32 floorPay,uint16 metric,bytes32 scorer,uint64 operationCap,uint32 shardBytes,uint64 weightsBytes,"
        "bytes32 taskHash,bytes32 dataRoot,uint8 shards,uint8 heldOut,uint8 committee,uint96 fee,uint96 bond,"
        "uint96 collateral,uint32 bidWindow,uint32 workWindow,uint32 releaseWindow,uint32 commitWindow,"
        "uint32 revealWindow,uint32 challengeWindow,bytes32 salt,Parent[] parents)"
        "Parent(bytes32 artifact,address payee,uint16 bps)"
    );
    bytes32 internal constant BID_TYPEHASH =
        keccak256("Bid(bytes32 job,address provider,uint96 price,bytes32 wrapKey,uint64 validUntil,uint256 nonce)");

    bytes32 internal constant SCORE_COMMIT_TYPEHASH =
        keccak256("ScoreCommit(bytes32 job,uint8 round,uint32 seat,bytes32 hash)");
    bytes32 internal constant WAIVER_TYPEHASH = keccak256("Waiver(bytes32 job,uint8 round,bytes32 result)");
    bytes32 internal constant AGREED_LANE_TYPEHASH =
        keccak256("AgreedLane(address provider,bytes32 word,uint32 score,uint256 payout)");
    bytes32 internal constant OUTCOME_TYPEHASH = keccak256(
        "Outcome(bytes32 job,uint64 validUntil,AgreedLane[] lanes)"
        "AgreedLane(address provider,bytes32 word,uint32 score,uint256 payout)"
    );

    /// @dev How many static fields JobTerms has before `parents`.
    uint256 private constant TERMS_WORDS = 27;

    /// @notice EIP-712 struct hash of the terms.
    /// @dev ABI and EIP-712 encode static fields alike, one word each: one calldata copy replaces 27 encodings. Words with
    /// dirty upper bits would hash to an id of their own; `post` refuses them when it encodes the terms into its event.
    function hash(IMarketBase.JobTerms calldata terms) internal pure returns (bytes32) {
        bytes memory encoded = new bytes(32 * (TERMS_WORDS + 2));
        bytes32 typeHash = TERMS_TYPEHASH;
        bytes32 parents = _hash(terms.parents);
        assembly ("memory-safe") {
            let start := add(encoded, 0x20)
            mstore(start, typeHash)
            calldatacopy(add(start, 0x20), terms, mul(TERMS_WORDS, 0x20))
            mstore(add(start, mul(add(TERMS_WORDS, 1), 0x20)), parents)
        }
        return keccak256(encoded);
    }

    function _hash(IMarketBase.Parent[] calldata parents) private pure returns (bytes32) {
        bytes memory hashes;
        for (uint256 i; i < parents.length; ++i) {
            hashes = bytes.concat(hashes, keccak256(abi.encode(PARENT_TYPEHASH, parents[i])));
        }
        return keccak256(hashes);
    }

    /// @notice EIP-712 struct hash of a bid.
    function hash(IMarketBase.Bid calldata bid) internal pure returns (bytes32) {
        return keccak256(abi.encode(BID_TYPEHASH, bid));
    }

    /// @notice EIP-712 struct hash of a seat's commit that somebody else posts (P6.1). Job, round and seat: good once.
    function scoreCommit(bytes32 job, uint8 round, uint32 seat, bytes32 hash_) internal pure returns (bytes32) {
        return keccak256(abi.encode(SCORE_COMMIT_TYPEHASH, job, round, seat, hash_));
    }

    /// @notice EIP-712 struct hash of the consent to a result as it stands: nobody will appeal or demand (P6.1).
    function waiver(bytes32 job, uint8 round, bytes32 result) internal pure returns (bytes32) {
        return keccak256(abi.encode(WAIVER_TYPEHASH, job, round, result));
    }

    /// @notice EIP-712 struct hash of an agreed outcome (P6.1). It ends the job, and so is good once.
    function outcome(bytes32 job, uint64 validUntil, IMarketBase.AgreedLane[] calldata lanes)
        internal
        pure
        returns (bytes32)
    {
        bytes memory hashes;
        for (uint256 i; i < lanes.length; ++i) {
            hashes = bytes.concat(hashes, keccak256(abi.encode(AGREED_LANE_TYPEHASH, lanes[i])));
        }
        return keccak256(abi.encode(OUTCOME_TYPEHASH, job, validUntil, keccak256(hashes)));
    }

    /// @notice What a seat commits to: bound to chain, market, job, round and seat, so a copied commit cannot be opened.
    function commitment(bytes32 job, uint8 round, uint32 seat, bytes32 vote, bytes32 evidence, bytes32 salt)
        internal
        view
        returns (bytes32)
    {
        return keccak256(abi.encode(block.chainid, address(this), job, round, seat, vote, evidence, salt));
    }

    /// @notice A chain of commits with one more: `place` committed to `hash`. An empty chain is zero.
    /// @dev One word for all commits of a round saves a fresh slot a seat, 17,000 gas each; whoever opens one shows the rest.
    function chained(bytes32 chain, uint256 place, bytes32 hash_) internal pure returns (bytes32) {
        return chained(chain, link(place, hash_));
    }

    /// @notice One commit of a chain. The place is part of it: a seat cannot open what another one committed.
    function link(uint256 place, bytes32 hash_) internal pure returns (bytes32) {
        return keccak256(abi.encode(place, hash_));
    }

    /// @notice `chain` with `link_` appended.
    function chained(bytes32 chain, bytes32 link_) internal pure returns (bytes32) {
        return keccak256(abi.encode(chain, link_));
    }
}
