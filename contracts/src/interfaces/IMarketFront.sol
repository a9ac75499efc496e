// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMarketBase} from "./IMarketBase.sol";

/// @title What every job calls: Market's own code
interface IMarketFront is IMarketBase {
    /* -------------------------------------------------------------------- jobs */

    /// @notice Escrow lanes * cap + n * f + bond from the caller's free balance. Caller must be `terms.requester`.
    /// @return job the terms' digest: the same terms cannot be posted twice (P2.1)
    function post(JobTerms calldata terms) external returns (bytes32 job);
    /// @notice Bind the winning bids (1 to `terms.lanes`), lane i to bids[i]; one split per job. Only the requester.
    /// @param signatures by the bids' providers, by key or ERC-1271
    /// @dev Warning: seats are counted in the block of this call; whoever owns most of them has a committee (P10).
    function accept(JobTerms calldata terms, Bid[] calldata bids, bytes[] calldata signatures) external;
    /// @notice `post` and `accept` in one call, for bids gathered on signed terms (P2.5). Escrows the bids, not the cap.
    function open(JobTerms calldata terms, Bid[] calldata bids, bytes[] calldata signatures)
        external
        returns (bytes32 job);
    /// @notice The caller's bids with this nonce can no longer be accepted.
    function cancelBid(uint256 nonce) external;
    /// @notice One word per lane: keccak256(abi.encode(job, provider, weightsHash, sealedHash, sha256(b), sha256(envelope of a)))
    /// or NO_KEYS (P4.4, P4.5). The last lane starts round 1.
    function submit(bytes32 job, uint8 lane, bytes32 word) external;

    /* ------------------------------------------------------------------ rounds */

    /// @notice Anyone, before the deadline: store the drawn seats of the present round, or reseed once if the hash of its seed
    /// block is gone (P5.3).
    function pin(bytes32 job) external;
    /// @notice The hot key of the seat at `place` commits to its vote; the first commit pins. All n end the stage.
    /// @param hash see Messages.commitment
    function commit(bytes32 job, uint256 place, bytes32 hash) external;
    /// @notice Anyone who knows the salt opens a commit. All n, or all that were made, end the stage.
    /// @param vote eight 32-bit lanes, lane 0 in the lowest bits (P3.1)
    /// @param before the chain of commits before this one; zero if it was the first
    /// @param later the links of those after it, in order: link = keccak256(abi.encode(place, hash))
    function reveal(
        bytes32 job,
        uint256 place,
        bytes32 vote,
        bytes32 evidence,
        bytes32 salt,
        bytes32 before,
        bytes32[] calldata later
    ) external;
    /// @notice Anyone: the commits of all drawn seats in one call, before anybody committed alone (P6.1).
    /// @param hashes by place
    /// @param signatures by place, of the EIP-712 message ScoreCommit by the seat's hot key or ERC-1271 wallet
    function commitAll(bytes32 job, bytes32[] calldata hashes, bytes[] calldata signatures) external;
    /// @notice Anyone who knows the salts: opens all commits that were made, in their order, before anybody opened one alone.
    function revealAll(bytes32 job, Opening[] calldata openings) external;
    /// @notice Anyone: as `revealAll` if there are `openings`; then, since nobody will appeal, `settle` at once (P6.1).
    /// @param signatures of the EIP-712 message Waiver by the requester, then by every lane's provider; as in `commitAll` and
    /// `agree`, whoever sends the call has signed by that, and its signature may be empty
    /// @dev Warning: who signs a waiver gives up its own appeals and demands, and those of the seats; who sends the call, about
    /// whatever result stands when it is mined. Round 2, which may fine seats of round 1, cannot be concluded.
    function conclude(JobTerms calldata terms, Opening[] calldata openings, bytes[] calldata signatures) external;
    /// @notice Anyone, from the deadline of Scored on: pays everybody, whatever the outcome (P3.3, P3.4). No external call.
    function settle(JobTerms calldata terms) external;
}
