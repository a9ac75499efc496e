// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMarket} from "./interfaces/IMarket.sol";
import {IMarketBase} from "./interfaces/IMarketBase.sol";
import {IValueChain} from "./interfaces/IValueChain.sol";

/// @title ValueChain: a registry of what settled jobs made (P7.2)
/// @notice No owner, no upgrade, no money. The interface says what every function does.
/// @dev It only reads the market, by static calls, and the market does not know it: nothing here can hold up a payment, and
/// there is nobody to re-enter from.
contract ValueChain is IValueChain {
    /// @dev Basis points: no terms may promise more to all parents together (P7.3).
    uint16 private constant _GREATEST_SUGGESTION = 2000;

    IMarket private immutable _MARKET;

    mapping(bytes32 artifact => Entry) private _entries;
    /// @inheritdoc IValueChain
    mapping(bytes32 artifact => address) public offeredTo;

    /// @param market_ a Market; one registry serves one market
    constructor(address market_) {
        _MARKET = IMarket(market_);
    }

    /// @inheritdoc IValueChain
    function market() external view returns (address) {
        return address(_MARKET);
    }

    /// @inheritdoc IValueChain
    function entryOf(bytes32 artifact) external view returns (Entry memory) {
        return _entries[artifact];
    }

    /// @inheritdoc IValueChain
    function claim(bytes32 job, uint8 lane, Preimage calldata preimage) external returns (bytes32 artifact) {
        artifact = keccak256(abi.encode(job, lane));
        Entry storage entry = _entries[artifact];
        if (entry.owner != address(0)) revert AlreadyClaimed(artifact, entry.owner);
        (address maker, uint32 score, IMarketBase.Outcome outcome) = _requireMade(job, lane, preimage);
        address owner = _MARKET.getJob(job).requester;

        (entry.owner, entry.weightsHash) = (owner, preimage.weightsHash);
        emit Claimed(artifact, job, owner, lane, maker, preimage.weightsHash, score, outcome);
    }

    /// @inheritdoc IValueChain
    function offer(bytes32 artifact, address to) external {
        _requireOwner(artifact);
        offeredTo[artifact] = to;
        emit Offered(artifact, msg.sender, to);
    }

    /// @inheritdoc IValueChain
    function take(bytes32 artifact) external {
        address to = offeredTo[artifact];
        if (msg.sender != to) revert NotOffered(msg.sender, to);
        address from = _entries[artifact].owner;
        _entries[artifact].owner = to;
        delete offeredTo[artifact];
        emit Transferred(artifact, from, to);
    }

    /// @inheritdoc IValueChain
    function suggestRoyalty(bytes32 artifact, uint16 bps) external {
        _requireOwner(artifact);
        if (bps > _GREATEST_SUGGESTION) revert SuggestionTooHigh(bps, _GREATEST_SUGGESTION);
        _entries[artifact].suggestedBps = bps;
        emit RoyaltySuggested(artifact, msg.sender, bps);
    }

    /// @dev That the lane was paid for weights, and that the preimage is theirs.
    function _requireMade(bytes32 job, uint8 lane, Preimage calldata preimage)
        private
        view
        returns (address maker, uint32 score, IMarketBase.Outcome outcome)
    {
        IMarketBase.State state;
        bytes32 word;
        bool paid;
        (state, outcome, maker, word, score, paid) = _MARKET.settledLane(job, lane);
        if (state != IMarketBase.State.Settled) revert NotSettled(job, state);
        if (!paid) revert NotPaid(job, lane);
        bytes32 given = keccak256(abi.encode(job, maker, preimage));
        if (given != word) revert WrongPreimage(word, given);
    }

    function _requireOwner(bytes32 artifact) private view {
        address owner = _entries[artifact].owner;
        if (msg.sender != owner) revert NotOwner(msg.sender, owner);
    }
}
